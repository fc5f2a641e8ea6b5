"""Gives access to a running cluster through its folder, from any process."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from headrace_kube.blocking import BlockingClient
from headrace_local.certs import Authority
from headrace_local.kubeconfig import certificate_user, token_user, write_kubeconfig
from headrace_local.processes import Process, ProcessEndedError, Processes
from headrace_local.waiting import wait_until

if TYPE_CHECKING:
    from minio import Minio

TOKEN_SECONDS = 30 * 24 * 3600


class KubectlError(RuntimeError):
    """kubectl failed; the message is what it wrote to stderr."""


@dataclass(frozen=True)
class Facts:
    """What a client must know about a running cluster; stored as `cluster.json` in the cluster's folder."""

    api_url: str
    kubectl: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    setup_seconds: dict[str, float]

    def write(self, folder: Path) -> None:
        path = folder / "cluster.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls(**json.loads((folder / "cluster.json").read_text()))


class ClusterAccess:
    """Clients, credentials and additional processes for the cluster in `folder`.

    On exit, it ends only the processes that were started through it: the cluster belongs to its `Cluster`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = Facts.read(folder)
        self.processes = Processes()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.processes.close()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that signs the certificates of the API server, clients and nodes."""
        return self.folder / "pki" / "ca.crt"

    @property
    def api_url(self) -> str:
        return self.facts.api_url

    @property
    def s3_endpoint(self) -> str:
        """URL of the S3 server."""
        return self.facts.s3_endpoint

    @property
    def s3_access_key(self) -> str:
        return self.facts.s3_access_key

    @property
    def s3_secret_key(self) -> str:
        return self.facts.s3_secret_key

    @property
    def s3_region(self) -> str:
        return self.facts.s3_region

    @property
    def setup_seconds(self) -> dict[str, float]:
        """Wall-clock seconds that each step of the start took, and their `total`."""
        return self.facts.setup_seconds

    def kubectl(self, *args: str, input: str | None = None) -> str:
        """Runs kubectl as the administrator and returns its stdout.

        Raises:
            KubectlError: it failed; the message is its stderr.
        """
        completed = subprocess.run(
            [
                self.facts.kubectl,
                f"--kubeconfig={self.kubeconfig}",
                f"--cache-dir={self.folder / 'kubectl-cache'}",
                *args,
            ],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode != 0:
            self.check()
            raise KubectlError(f"kubectl {' '.join(args)}: {completed.stderr.strip()}")
        return completed.stdout

    def api(self) -> BlockingClient:
        """A client of the API server, as the administrator. Use it as a context manager."""
        return BlockingClient(self.kubeconfig, "headrace-local")

    def minio(self) -> "Minio":
        """A client of the S3 server with its root keys."""
        from minio import Minio

        scheme, _, address = self.s3_endpoint.partition("://")
        return Minio(
            address,
            access_key=self.s3_access_key,
            secret_key=self.s3_secret_key,
            region=self.s3_region,
            secure=scheme == "https",
        )

    def storage_environment(self) -> dict[str, str]:
        """The variables that give S3 clients the endpoint and keys; a job's storage secret has the same ones."""
        return {
            "AWS_ENDPOINT_URL": self.s3_endpoint,
            "AWS_ACCESS_KEY_ID": self.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_key,
            "AWS_REGION": self.s3_region,
        }

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a token for the service account (from TokenRequest, valid for 30 days)."""
        request = {"spec": {"audiences": [], "expirationSeconds": TOKEN_SECONDS}}
        with self.api() as api:
            answer = api.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request)
        path = self.folder / "kubeconfigs" / f"{namespace}-{name}"
        return write_kubeconfig(path, self.api_url, self.ca_file, token_user(answer["status"]["token"]))

    def node_kubeconfig(self, node_name: str) -> Path:
        """A kubeconfig with a kubelet's client certificate, which the Node authorizer recognises."""
        pair = self._authority().client(f"node-{node_name}", f"system:node:{node_name}", ["system:nodes"])
        path = self.folder / "kubeconfigs" / f"node-{node_name}"
        return write_kubeconfig(path, self.api_url, self.ca_file, certificate_user(pair))

    def serving_certificate(self, name: str, ip: str) -> tuple[Path, Path]:
        """Certificate and key for a node's own HTTPS endpoint; the API server checks them for `kubectl logs`."""
        pair = self._authority().server(f"serving-{name}", f"system:node:{name}", [name, ip])
        return pair.cert, pair.key

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        ready: Callable[[], object] | None = None,
        timeout: float = 60,
    ) -> Process:
        """Starts another process, which ends with the cluster at the latest, and waits until it is ready.

        Args:
            env: variables to add to this process's environment. Proxies are switched off, because the cluster is on 127.0.0.1.
            ready: returns something truthy once the process is ready.

        Raises:
            ProcessEndedError: the process did not start, or ended before it was ready; holds the end of its log.
            TimeoutError: the process was not ready in time; holds the end of its log.
        """
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        process = self.processes.start(
            name,
            argv,
            log=self.folder / "logs" / f"{name}.log",
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(temporary), "NO_PROXY": "*", "no_proxy": "*", **(env or {})},
        )
        if ready is not None:
            try:
                wait_until(ready, f"{name} is ready", timeout, process.check)
            except TimeoutError as error:
                tail = process.log_tail()
                process.kill()
                raise TimeoutError(f"{error}; the end of {process.log}:\n{tail}") from None
            except ProcessEndedError:
                process.expected_to_run = False  # this error reports it; `check` need not report it again
                raise
        return process

    def check(self) -> None:
        """
        Raises:
            ProcessEndedError: a process that was started through this object ended unexpectedly.
        """
        self.processes.check()

    def wait_until(self, ready: Callable[[], Any], what: str, timeout: float = 30) -> Any:
        """Like `waiting.wait_until`, but gives up as soon as one of the cluster's processes ends."""
        return wait_until(ready, what, timeout, self.check)

    def wait_for_service_account(self, namespace: str, name: str = "default", timeout: float = 60) -> None:
        """Waits until the controller manager has created the account: without it, the API server refuses the namespace's pods."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        with self.api() as api:
            self.wait_until(lambda: api.find(path), f"service account {namespace}/{name}", timeout)

    def create_namespace(self, name: str) -> None:
        """Creates a namespace that accepts pods as soon as this returns."""
        with self.api() as api:
            api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        self.wait_for_service_account(name)

    def _authority(self) -> Authority:
        return Authority(self.folder / "pki", "ca")
