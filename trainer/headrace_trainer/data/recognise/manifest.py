"""What is where in a dataset: its dataset.json, or what its files suggest without one."""

from pathlib import Path

from headrace_api.dataset import MANIFEST, Manifest
from headrace_trainer.data.files import walk
from headrace_trainer.data.recognise import recognise
from headrace_trainer.manifest import manifest_from


def read_manifest(root: Path) -> Manifest:
    """The dataset's dataset.json, or what is recognised without one.

    Raises FatalError(BAD_DATASET), which names each wrong field, or says what was seen if nothing is recognised.
    """
    path = root / MANIFEST
    return manifest_from(path.read_bytes()) if path.is_file() else recognise(root, walk(root)).manifest
