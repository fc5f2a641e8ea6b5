"""What the containers of one pod share: the pod object, its folder, address, volumes and GPUs."""

import asyncio
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from headrace_kube.client import Client
from headrace_kube.errors import KubeError, StatusError
from headrace_local.node.addresses import PodAddress
from headrace_local.node.devices import Devices
from headrace_local.node.environment import Json, Objects, Reference
from headrace_local.node.processes import Spawner
from headrace_local.node.volumes import (
    MountError,
    files_of,
    object_data,
    token_requests,
    volume_references,
    write_files,
)

# The Node authorizer learns of a binding a moment after this node does; until then it denies access to the pod's secrets.
AUTHORIZER_DELAY_SECONDS = 3.0


@dataclass(frozen=True)
class Node:
    """What all pods of the node share. `folder` has one folder per pod, by uid."""

    name: str
    host_ip: str
    folder: Path
    images: Mapping[str, tuple[str, ...]]
    allocatable: Mapping[str, str]
    api: Client
    spawner: Spawner
    devices: Devices
    probe_session: aiohttp.ClientSession


class PodContext:
    """One pod on this node. `pod` is always the newest object from the watch.

    Its folder contains `volumes/<volume>/`, and for each container `home/<name>/`, `<name>.<restarts>.log` and
    `<name>.termination-log`.
    """

    def __init__(self, node: Node, pod: Json) -> None:
        self.node = node
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        self.folder: Path = node.folder / self.uid
        self.volumes: dict[str, Path] = {}
        self.device_env: Mapping[str, str] = {}
        self.ip: str | None = None
        self._address: PodAddress | None = None

    def take_address(self) -> None:
        """Give the pod its own address, or the node's if the pod uses the host's network."""
        if self.pod["spec"].get("hostNetwork"):
            self.ip = self.node.host_ip
        else:
            self._address = PodAddress()
            self.ip = self._address.ip

    def release(self) -> None:
        """Release the address and the GPUs."""
        self.node.devices.release(self.uid)
        if self._address is not None:
            self._address.release()

    async def remove_folder(self) -> None:
        """Remove everything that the pod left, which may be many files."""
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def described(self) -> dict[str, Any]:
        """The pod as fieldRefs see it, with its new addresses."""
        return {**self.pod, "status": {"hostIP": self.node.host_ip, "podIP": self.ip}}

    def log_path(self, container: str, restarts: int) -> Path:
        """The log of one start of a container."""
        return self.folder / f"{container}.{restarts}.log"

    def termination_log(self, container: str) -> Path:
        """The file that stands for the container's terminationMessagePath."""
        return self.folder / f"{container}.termination-log"

    def home(self, container: str) -> Path:
        """The container's HOME and working directory."""
        return self.folder / "home" / container

    async def mount(self) -> None:
        """Write the pod's volumes. Raises MountError while something that they need is missing."""
        volumes = self.pod["spec"].get("volumes", ())
        try:
            objects = await self.objects(volume_references(self.pod))
            tokens = {request["path"]: await self._token(request) for request in token_requests(self.pod)}
        except KubeError as error:
            raise MountError(str(error)) from error
        for volume in volumes:
            folder = self.folder / "volumes" / volume["name"]
            write_files(folder, files_of(volume, self.described(), objects, tokens, self.node.allocatable))
            self.volumes[volume["name"]] = folder

    async def objects(self, references: Iterable[Reference]) -> Objects:
        """The contents of Secrets and ConfigMaps, None for those that do not exist. Raises KubeError."""
        wanted = sorted(set(references))
        return dict(zip(wanted, await asyncio.gather(*map(self._object, wanted)), strict=True))

    async def _object(self, reference: Reference) -> Mapping[str, bytes] | None:
        path = f"/api/v1/namespaces/{self.namespace}/{reference.kind.lower()}s/{reference.name}"
        waited = 0.0
        while True:
            try:
                return object_data(reference.kind, await self.node.api.request("GET", path))
            except StatusError as error:
                if error.status == 404:
                    return None
                if error.status != 403 or waited >= AUTHORIZER_DELAY_SECONDS:
                    raise
            await asyncio.sleep(0.1)
            waited += 0.1

    async def _token(self, request: Json) -> str:
        """A token of the pod's service account, bound to this pod."""
        account = self.pod["spec"].get("serviceAccountName", "default")
        spec = {
            "audiences": [request["audience"]] if "audience" in request else [],
            "expirationSeconds": request.get("expirationSeconds", 3600),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid},
        }
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        answer = await self.node.api.request("POST", path, {"spec": spec})
        token: str = answer["status"]["token"]
        return token
