"""A pod's volumes as folders: determines their files (pure) and writes them."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_local.node.environment import (
    ConfigError,
    Json,
    Kind,
    Objects,
    Reference,
    field_value,
    resource_value,
)

SUPPORTED = ("emptyDir", "downwardAPI", "secret", "configMap", "projected")
_DEFAULT_MODE = 0o644


class MountError(Exception):
    """The volume cannot be set up yet; the pod stays in ContainerCreating with this message."""


@dataclass(frozen=True)
class File:
    """One projected file: bytes and permission bits."""

    content: bytes
    mode: int


def volume_references(pod: Json) -> Iterator[Reference]:
    """The Secrets and ConfigMaps that the pod's volumes need."""
    for volume in pod["spec"].get("volumes", ()):
        for source in _sources(volume):
            if "secret" in source:
                yield Reference("Secret", _object_name(source["secret"]))
            if "configMap" in source:
                yield Reference("ConfigMap", _object_name(source["configMap"]))


def token_requests(pod: Json) -> Iterator[Json]:
    """The `serviceAccountToken` sources of the pod's projected volumes."""
    for volume in pod["spec"].get("volumes", ()):
        for source in _sources(volume):
            if "serviceAccountToken" in source:
                yield source["serviceAccountToken"]


def files_of(
    volume: Json, pod: Json, objects: Objects, tokens: Mapping[str, str], allocatable: Mapping[str, str]
) -> dict[str, File]:
    """The files of one volume by relative path; none for an emptyDir. Raises MountError.

    `tokens` has the service account tokens by their requested paths.
    """
    kind = next((kind for kind in SUPPORTED if kind in volume), "emptyDir")
    mode = volume.get(kind, {}).get("defaultMode", _DEFAULT_MODE)
    files: dict[str, File] = {}
    for source in _sources(volume):
        if "secret" in source:
            files |= _keys("Secret", source["secret"], objects, mode)
        elif "configMap" in source:
            files |= _keys("ConfigMap", source["configMap"], objects, mode)
        elif "downwardAPI" in source:
            files |= _fields(source["downwardAPI"], pod, allocatable, mode)
        elif "serviceAccountToken" in source:
            path = source["serviceAccountToken"]["path"]
            files[path] = File(tokens[path].encode(), 0o600)
    return files


def write_files(folder: Path, files: Mapping[str, File]) -> None:
    """Write a volume's files. The API server has already refused paths that leave the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, file in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)


def object_data(kind: Kind, manifest: Json) -> dict[str, bytes]:
    """The keys of a Secret or ConfigMap as bytes."""
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (manifest.get("data") or {}).items()}
    plain = {key: value.encode() for key, value in (manifest.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (manifest.get("binaryData") or {}).items()}
    return plain | binary


def mounts_of(container: Json, volumes: Mapping[str, Path]) -> dict[str, Path]:
    """The container's mount paths and their places on this machine."""
    return {mount["mountPath"]: volumes[mount["name"]] / mount.get("subPath", "") for mount in container.get("volumeMounts", ())}


def folder_bytes(folder: Path) -> int:
    """Disk space of everything below a folder, as `du` counts it, without files that disappear while it counts."""
    total = 0
    folders = [folder]
    while folders:
        try:
            for entry in folders.pop().iterdir():
                status = entry.lstat()
                total += status.st_blocks * 512
                if entry.is_dir() and not entry.is_symlink():
                    folders.append(entry)
        except OSError:
            continue
    return total


def _sources(volume: Json) -> list[Json]:
    """The sources of a projected volume, or the volume itself as the only one."""
    if "projected" in volume:
        sources: list[Json] = volume["projected"].get("sources", [])
        return sources
    return [volume]


def _object_name(selector: Json) -> str:
    """A secret volume says `secretName`; everything else says `name`."""
    name: str = selector.get("secretName") or selector["name"]
    return name


def _keys(kind: Kind, selector: Json, objects: Objects, mode: int) -> dict[str, File]:
    name = _object_name(selector)
    data = objects.get(Reference(kind, name))
    if data is None:
        if selector.get("optional"):
            return {}
        raise MountError(f'{kind.lower()} "{name}" not found')
    items = selector.get("items")
    if not items:
        return {key: File(content, mode) for key, content in data.items()}
    present = [item for item in items if item["key"] in data]
    if len(present) < len(items) and not selector.get("optional"):
        missing = next(item["key"] for item in items if item["key"] not in data)
        raise MountError(f"references non-existent {kind.lower()} key: {missing} in {name}")
    return {item["path"]: File(data[item["key"]], item.get("mode", mode)) for item in present}


def _fields(selector: Json, pod: Json, allocatable: Mapping[str, str], mode: int) -> dict[str, File]:
    containers = {container["name"]: container for container in pod["spec"]["containers"]}
    files = {}
    for item in selector.get("items", ()):
        if "fieldRef" in item:
            try:
                text = field_value(item["fieldRef"]["fieldPath"], pod)
            except ConfigError as error:
                raise MountError(str(error)) from error
        else:
            resource = item["resourceFieldRef"]
            text = resource_value(resource, containers[resource["containerName"]], allocatable)
        files[item["path"]] = File(text.encode(), item.get("mode", mode))
    return files
