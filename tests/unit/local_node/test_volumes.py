import base64
from pathlib import Path
from typing import Any

import pytest

from headrace_local.node.environment import Objects, Reference
from headrace_local.node.volumes import (
    File,
    MountError,
    files_of,
    folder_bytes,
    mounts_of,
    object_data,
    volume_references,
    write_files,
)

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"job": "{}"}},
    "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "2Gi"}}}]},
}
OBJECTS: Objects = {
    Reference("Secret", "s"): {"key": b"\x00secret"},
    Reference("ConfigMap", "m"): {"a": b"1", "b": b"2"},
    Reference("ConfigMap", "gone"): None,
}


def files(volume: dict[str, Any]) -> dict[str, File]:
    return files_of({"name": "v", **volume}, POD, OBJECTS, {"token": "jwt"}, {})


def test_a_secret_volume_holds_a_file_per_key_with_the_default_mode() -> None:
    assert files({"secret": {"secretName": "s", "defaultMode": 0o400}}) == {"key": File(b"\x00secret", 0o400)}


def test_items_choose_keys_and_paths() -> None:
    items = [{"key": "a", "path": "deep/one", "mode": 0o600}]
    assert files({"configMap": {"name": "m", "items": items}}) == {"deep/one": File(b"1", 0o600)}


def test_the_downward_api_writes_annotations_and_resources() -> None:
    items = [
        {"path": "job.json", "fieldRef": {"fieldPath": "metadata.annotations['job']"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Gi"}},
    ]
    assert files({"downwardAPI": {"items": items}}) == {"job.json": File(b"{}", 0o644), "memory": File(b"2", 0o644)}


def test_a_projected_volume_joins_its_sources() -> None:
    sources = [
        {"secret": {"name": "s"}},
        {"configMap": {"name": "m", "items": [{"key": "b", "path": "b"}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]
    got = files({"projected": {"sources": sources, "defaultMode": 0o640}})
    assert got == {"key": File(b"\x00secret", 0o640), "b": File(b"2", 0o640), "token": File(b"jwt", 0o600)}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"name": "gone"}, 'configmap "gone" not found'),
        ({"name": "m", "items": [{"key": "z", "path": "z"}]}, "references non-existent configmap key: z in m"),
    ],
)
def test_what_is_missing_is_named_unless_it_is_optional(source: dict[str, Any], message: str) -> None:
    with pytest.raises(MountError) as error:
        files({"configMap": source})
    assert str(error.value) == message
    assert files({"configMap": {**source, "optional": True}}) == {}


def test_files_are_written_with_their_modes(tmp_path: Path) -> None:
    write_files(tmp_path / "v", {"a/b": File(b"x", 0o600)})
    assert (tmp_path / "v" / "a" / "b").read_bytes() == b"x"
    assert (tmp_path / "v" / "a" / "b").stat().st_mode & 0o777 == 0o600


def test_object_data_is_decoded() -> None:
    encoded = base64.b64encode(b"\xff").decode()
    assert object_data("Secret", {"data": {"k": encoded}}) == {"k": b"\xff"}
    assert object_data("ConfigMap", {"data": {"t": "é"}, "binaryData": {"k": encoded}}) == {
        "t": "é".encode(),
        "k": b"\xff",
    }
    assert object_data("Secret", {}) == {}


def test_the_objects_to_fetch_are_those_the_volumes_name() -> None:
    volumes = [
        {"name": "a", "secret": {"secretName": "s"}},
        {"name": "b", "projected": {"sources": [{"configMap": {"name": "m"}}, {"secret": {"name": "t"}}]}},
        {"name": "c", "emptyDir": {}},
    ]
    got = list(volume_references({"spec": {"volumes": volumes}}))
    assert got == [Reference("Secret", "s"), Reference("ConfigMap", "m"), Reference("Secret", "t")]


def test_mount_paths_lead_into_the_volumes() -> None:
    mounts = [{"name": "w", "mountPath": "/workspace"}, {"name": "w", "mountPath": "/sub", "subPath": "x"}]
    got = mounts_of({"volumeMounts": mounts}, {"w": Path("/v/w")})
    assert got == {"/workspace": Path("/v/w"), "/sub": Path("/v/w/x")}


def test_disk_usage_counts_everything_below_except_links(tmp_path: Path) -> None:
    (tmp_path / "w" / "deep").mkdir(parents=True)
    (tmp_path / "w" / "deep" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "w" / "link").symlink_to(tmp_path)
    assert 100_000 <= folder_bytes(tmp_path / "w") < 130_000
