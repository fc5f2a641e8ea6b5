"""A real Kubernetes control plane and a real S3 server on 127.0.0.1, for as long as a `with` block lasts."""

import os
import secrets
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace_local import components
from headrace_local.access import ClusterAccess, Facts
from headrace_local.binaries import find_binaries
from headrace_local.certs import KeyPair
from headrace_local.components import Ports
from headrace_local.crd import create_contract
from headrace_local.credentials import Credentials, make_credentials
from headrace_local.http_check import answers
from headrace_local.kubeconfig import certificate_user, write_kubeconfig
from headrace_local.ports import free_ports
from headrace_local.processes import Process, ProcessEndedError, Processes

S3_REGION = "us-east-1"
START_TIMEOUT = 120.0  # for a busy machine; an idle one takes 4 s
START_TRIES = 3


class Cluster(ClusterAccess):
    """etcd, kube-apiserver, kube-controller-manager, kube-scheduler and versitygw.

    All files are in one folder, which the cluster creates and removes. Any number of clusters can run side by side.

        with Cluster() as cluster:
            cluster.kubectl("get", "namespaces")

    Args:
        binaries: the programs by name; default: those that `binaries.find_binaries` finds, downloads or builds.
        folder: must be absent or empty; default: a new one in the temporary folder.
        controllers: run the controller manager (without it there are no service accounts and no garbage collection).
        scheduler: run the scheduler (without it pods stay unbound).
        s3: run the S3 server.
        contract: create the TrainingJob CustomResourceDefinition.
        address: where the API server and the S3 server listen. Kubelets and their pods need one that is not loopback.
        remove: other folders to remove with the cluster, even if this process is killed.
    """

    def __init__(
        self,
        *,
        binaries: Mapping[str, Path] | None = None,
        folder: Path | None = None,
        controllers: bool = True,
        scheduler: bool = True,
        s3: bool = True,
        contract: bool = True,
        address: str = components.LOOPBACK,
        remove: Sequence[Path] = (),
    ) -> None:
        self._binaries = binaries
        self.folder = folder or Path(tempfile.gettempdir()) / f"headrace-{secrets.token_hex(6)}"
        self._with_controllers = controllers
        self._with_scheduler = scheduler
        self._with_s3 = s3
        self._with_contract = contract
        self.address = address
        self.prefix: list[str] = []
        """Goes in front of every component's command line, to run the program elsewhere."""
        self._remove = remove

    def __enter__(self) -> Self:
        if self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(
                f"{self.folder} is not empty, and a cluster removes its folder when it ends; choose another folder"
            )
        timer = _Timer()
        if self._binaries is None:
            self._binaries = find_binaries()
            timer.lap("binaries")
        # The janitor first: from here on it cleans up everything, whatever happens to this process.
        self.processes = Processes(remove=[self.folder.absolute(), *self._remove])
        try:
            for tries_left in reversed(range(START_TRIES)):
                try:
                    self._start(self._binaries, timer)
                    break
                except ProcessEndedError as error:
                    # Another program took one of our ports after we chose it.
                    if "address already in use" not in str(error) or not tries_left:
                        raise
                    self.processes.kill_all()
                    shutil.rmtree(self.folder)
        except BaseException:
            self.processes.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.processes.close()

    def _start(self, binaries: Mapping[str, Path], timer: "_Timer") -> None:
        """Goes from an empty folder to an API server that accepts TrainingJobs and pods."""
        # 1. All files and ports.
        self.folder = self.folder.absolute()
        for name in ("pki", "logs", "kubeconfigs", "s3/buckets", "s3/metadata"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        ports = Ports(*free_ports(4))
        creds = make_credentials(self.folder / "pki", [self.address, components.SERVICE_OF_API_SERVER])
        self.facts = Facts(
            api_url=f"https://{self.address}:{ports.api}",
            kubectl=str(binaries["kubectl"].absolute()),
            s3_endpoint=f"http://{self.address}:{ports.s3}" if self._with_s3 else "",
            s3_access_key="headrace",
            s3_secret_key=secrets.token_hex(20),
            s3_region=S3_REGION,
            setup_seconds=timer.laps,
        )
        self._write_kubeconfig(self.kubeconfig, creds.admin)
        timer.lap("certificates")

        # 2. All servers at once; the API server waits for etcd by itself.
        self._start_servers(binaries, ports, creds, timer)

        # 3. The API server's clients; the contract is created while they start.
        self._start_clients(binaries, creds)
        if self._with_contract:
            create_contract(self)
            timer.lap("contract")
        if self._with_controllers:
            self.wait_for_service_account("default")
            timer.lap("kube-controller-manager")
        timer.total()
        self.facts.write(self.folder)

    def _start_servers(self, binaries: Mapping[str, Path], ports: Ports, creds: Credentials, timer: "_Timer") -> None:
        """Starts etcd, the API server and S3, and waits until they answer."""
        etcd = self.run_component("etcd", components.etcd_argv(binaries["etcd"], self.folder / "etcd", ports, creds))
        api_server = self.run_component(
            "kube-apiserver", components.api_server_argv(binaries["kube-apiserver"], ports, creds, self.address)
        )
        if self._with_s3:
            s3 = self.run_component(
                "versitygw",
                components.s3_argv(binaries["versitygw"], self.folder / "s3", ports, S3_REGION, self.address),
                {"ROOT_ACCESS_KEY_ID": self.s3_access_key, "ROOT_SECRET_ACCESS_KEY": self.s3_secret_key},
            )
        if self._with_s3:
            health = f"{self.s3_endpoint}{components.S3_HEALTH_PATH}"
            self._await(lambda: answers(health), "versitygw is ready", [s3])
            timer.lap("versitygw")
        tls = ssl.create_default_context(cafile=str(creds.ca))
        tls.load_cert_chain(creds.admin.cert, creds.admin.key)
        self._await(lambda: answers(f"{self.api_url}/readyz", tls), "kube-apiserver is ready", [etcd, api_server])
        timer.lap("kube-apiserver")

    def _start_clients(self, binaries: Mapping[str, Path], creds: Credentials) -> None:
        """Starts the controller manager and the scheduler. If started earlier, they would only wait and take CPU time."""
        folder = self.folder / "kubeconfigs"
        if self._with_controllers:
            name = "kube-controller-manager"
            kubeconfig = self._write_kubeconfig(folder / name, creds.controller_manager)
            self.run_component(
                name, components.controller_manager_argv(binaries[name], kubeconfig, creds, self.address != components.LOOPBACK)
            )
        if self._with_scheduler:
            name = "kube-scheduler"
            kubeconfig = self._write_kubeconfig(folder / name, creds.scheduler)
            self.run_component(name, components.scheduler_argv(binaries[name], kubeconfig))

    def _write_kubeconfig(self, path: Path, user: KeyPair) -> Path:
        return write_kubeconfig(path, self.api_url, self.ca_file, certificate_user(user))

    def run_component(self, name: str, argv: list[str], env: Mapping[str, str] | None = None) -> Process:
        """Starts a component with a bare environment, without the user's proxy settings."""
        return self.processes.start(
            name,
            [*self.prefix, *argv],
            log=self.folder / "logs" / f"{name}.log",
            cwd=self.folder,
            env={"PATH": os.defpath, "HOME": str(self.folder), **(env or {})},
        )

    def _await(self, ready: Callable[[], bool], what: str, processes: list[Process]) -> None:
        try:
            self.wait_until(ready, what, START_TIMEOUT)
        except TimeoutError as error:
            tails = "\n".join(f"{process.name}:\n{process.log_tail()}" for process in processes)
            raise TimeoutError(f"{error}; the end of the logs:\n{tails}") from None


class _Timer:
    """Measures the seconds of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._started = self._lap_started = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._lap_started, 2)
        self._lap_started = now

    def total(self) -> None:
        self.laps["total"] = round(time.monotonic() - self._started, 2)
