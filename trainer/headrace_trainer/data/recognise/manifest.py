"""What is where in a dataset: its dataset.json, or what its files make out where it has none."""

from pathlib import Path

from pydantic import ValidationError

from headrace_api.dataset import MANIFEST, Manifest
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.data.files import walk
from headrace_trainer.data.recognise import recognise

_NAMED_PROBLEMS = 5


def read_manifest(root: Path) -> Manifest:
    """The dataset's dataset.json, or what is recognised without one.

    Raises FatalError(BAD_DATASET) naming each wrong field where it is wrong, and what was seen where nothing is recognised.
    """
    path = root / MANIFEST
    if not path.is_file():
        return recognise(root, walk(root)).manifest
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = error.errors(include_url=False)
        wrong = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'the file'}: {p['msg']}" for p in problems[:_NAMED_PROBLEMS])
        raise FatalError(Reason.BAD_DATASET, f"{MANIFEST}: {wrong}") from error
