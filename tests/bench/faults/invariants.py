"""What must hold after every attempt, and at the end of every round, whatever went wrong."""

import hashlib
from pathlib import Path
from typing import Any, Final

from faults.world import ITERATIONS, World, read_json, tensors_hash
from headrace_api import runfolder
from headrace_storage.store import Store
from headrace_testing.leftovers import eventually, processes_mentioning

FOREIGN: Final = {
    "notes.md": b"mine",
    "attempts/.DS_Store": b"\0\0\0\1Bud1",
    "attempts/mine/notes.txt": b"mine",
    "checkpoints/keep-me/network.safetensors": b"mine, too",
    "checkpoints/notes.txt": b"mine",
}
"""Files of somebody else in the run folder, by key."""


def plant(store: Store) -> None:
    """Put somebody else's files into the run folder."""
    for key, content in FOREIGN.items():
        store.write(key, content)


def wrong_in_run_folder(world: World, store: Store, at_least: int) -> tuple[list[str], int]:
    """What is wrong between two attempts, and the iteration of the newest checkpoint. It never goes back behind `at_least`."""
    objects = {one.key: store.read(one.key) for one in store.list()}
    wrong = [f"somebody's {key} was changed or removed" for key, content in FOREIGN.items() if objects.get(key) != content]
    newest = 0
    for key in (runfolder.LATEST, runfolder.BEST):
        if key in objects:
            found, iteration = _wrong_with_checkpoint(world, key, objects)
            wrong += found
            newest = max(newest, iteration)
    if newest < at_least:
        wrong.append(f"the newest checkpoint is of iteration {newest}, but there was one of {at_least}")
    return wrong, newest


def _wrong_with_checkpoint(world: World, marker_key: str, objects: dict[str, bytes]) -> tuple[list[str], int]:
    marker = read_json(objects[marker_key])
    if not isinstance(marker, dict):
        return [f"{marker_key} is no JSON"], 0
    folder, iteration, files = str(marker["folder"]), int(marker["iteration"]), marker["files"]
    wrong = []
    contents: dict[str, bytes] = {}
    for name, stated in files.items():
        content = objects.get(folder + name)
        if content is None:
            return [f"{marker_key} names {folder}{name}, which does not exist"], iteration
        wrong += _wrong_with_file(f"{marker_key}: {folder}{name}", content, stated)
        if name.endswith(".safetensors"):
            contents[name] = content
    if not contents:
        wrong.append(f"{marker_key} names no tensors")
    elif tensors_hash(contents) != world.checkpoints.get(iteration):
        wrong.append(f"{marker_key}: the tensors differ from those of an undisturbed training at iteration {iteration}")
    return wrong, iteration


def _wrong_with_file(what: str, content: bytes, stated: Any) -> list[str]:
    """Compare a file with the size, and the checksum if any, that its marker states."""
    size = stated if isinstance(stated, int) else stated.get("size")
    checksum = None if isinstance(stated, int) else stated.get("sha256")
    wrong = [] if size in {None, len(content)} else [f"{what} has {len(content)} bytes, not {size}"]
    if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
        wrong.append(f"{what} has another SHA-256 than its marker says")
    return wrong


def wrong_when_done(world: World, store: Store) -> list[str]:
    """What is wrong with a finished run folder."""
    wrong = []
    names = {one.key.removeprefix(runfolder.MODEL): one.key for one in store.list(runfolder.MODEL)}
    model = {name: store.read(key) for name, key in names.items() if name.endswith(".safetensors")}
    if not model:
        wrong.append("there is no model")
    elif tensors_hash(model) != world.model:
        wrong.append("the model differs from that of an undisturbed training")
    outcome = read_json(store.read(runfolder.OUTCOME)) or {}
    if outcome.get("outcome") != "done" or outcome.get("progress", {}).get("iteration") != ITERATIONS:
        wrong.append(f"outcome.json says {outcome.get('outcome')} at iteration {outcome.get('progress', {}).get('iteration')}")
    marker = read_json(store.read(runfolder.LATEST)) or {}
    if marker.get("iteration") != ITERATIONS:
        wrong.append(f"latest.json is of iteration {marker.get('iteration')}, not {ITERATIONS}")
    return wrong


def left_behind(folder: Path, workspaces: list[Path], local_output: Path | None) -> list[str]:
    """What the round's processes left in its folder and on the machine."""
    wrong = [f"the workspace still has {sorted(path.name for path in one.iterdir())}" for one in workspaces if _has_files(one)]
    for temporary in folder.glob("*/tmp"):
        wrong += [f"{path.relative_to(folder)} is left" for path in temporary.iterdir()]
    if local_output is not None:
        wrong += [f"{path} is left" for path in local_output.rglob(".headrace-*") if path.name not in _MAY_STAY]
    if not eventually(lambda: not processes_mentioning(folder), seconds=15):
        wrong.append(f"processes are left: {processes_mentioning(folder)}")
    return wrong


_MAY_STAY: Final = {".headrace-lock"}
"""A lock is a file that stays: removing it would let two trainers lock two files of one name."""


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
