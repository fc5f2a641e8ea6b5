"""Uses an existing cluster (such as kind). Only the S3 server runs on this machine, where the cluster's pods must reach it."""

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace_local import components
from headrace_local.access import ClusterAccess, Facts
from headrace_local.cluster import S3_REGION
from headrace_local.components import Ports
from headrace_local.http_check import answers
from headrace_local.ports import free_ports
from headrace_local.processes import Processes

VARIABLES = {
    "E2E_KUBECONFIG": "the kubeconfig of an administrator of the cluster",
    "E2E_REGISTRY": "HOST:PORT of a registry to which this machine pushes and from which the nodes pull",
    "E2E_HOST": "an address of this machine that pods can reach (kind: the gateway of docker's network `kind`)",
}


class GivenCluster(ClusterAccess):
    """Raises:
    ValueError: a variable is missing; says what it means.
    """

    def __init__(self, binaries: Mapping[str, Path]) -> None:
        missing = [f"{name} ({meaning})" for name, meaning in VARIABLES.items() if not os.environ.get(name)]
        if missing:
            raise ValueError(f"tests on an existing cluster also need {', '.join(missing)}")
        self.programs = binaries
        self.host = os.environ["E2E_HOST"]
        self.registry = os.environ["E2E_REGISTRY"]
        self.folder = Path(tempfile.gettempdir()) / f"headrace-{secrets.token_hex(6)}"
        (self.folder / "logs").mkdir(parents=True)
        port = free_ports(1)[0]
        self.facts = Facts(
            api_url="",
            kubectl=str(binaries["kubectl"]),
            s3_endpoint=f"http://{self.host}:{port}",
            s3_access_key="headrace",
            s3_secret_key=secrets.token_hex(20),
            s3_region=S3_REGION,
            setup_seconds={},
        )
        self.processes = Processes(remove=[self.folder])

    def __enter__(self) -> Self:
        for name in ("s3/buckets", "s3/metadata"):
            (self.folder / name).mkdir(parents=True)
        ports = Ports(0, 0, 0, int(self.s3_endpoint.rpartition(":")[2]))
        argv = components.s3_argv(self.programs["versitygw"], self.folder / "s3", ports, S3_REGION, self.host)
        keys = {"ROOT_ACCESS_KEY_ID": self.s3_access_key, "ROOT_SECRET_ACCESS_KEY": self.s3_secret_key}
        self.start("versitygw", argv, keys, ready=lambda: answers(f"{self.s3_endpoint}{components.S3_HEALTH_PATH}"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.processes.close()

    @property
    def kubeconfig(self) -> Path:
        return Path(os.environ["E2E_KUBECONFIG"])
