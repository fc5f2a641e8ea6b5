"""Checks a user's dataset before the demo starts a cluster for it, with the program behind `headrace dataset check`."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_api.first_few import first_few

_CHECK = "headrace_trainer.check"
_WITHOUT_LABELS = {"name": "pixels", "autoencoding": {}}


class UnusableError(Exception):
    """No job could learn from the dataset; the message says why."""


@dataclass(frozen=True)
class OwnDataset:
    """What the check found out."""

    folder: Path
    found: tuple[str, ...]
    """Lines for people: its layers, and its problems, which do not always keep jobs from learning."""
    heads: tuple[dict[str, Any], ...]
    """The jobs' heads. Empty means a head for each layer; without layers it has one that learns without labels."""


def look_at(folder: Path) -> OwnDataset:
    """Raises UnusableError if there is no dataset, or if it cannot be read reliably."""
    check = subprocess.run([sys.executable, "-m", _CHECK, "--json", "--", str(folder)], capture_output=True, text=True, check=False)
    if not check.stdout:
        raise UnusableError(check.stderr.strip())
    report: dict[str, Any] = json.loads(check.stdout)
    unreadable = report["manifest"] is None or (report["manifest"]["layers"] and not report["layers"])
    if report["suggested"] or unreadable:
        raise UnusableError(f"{report['problems'][0]}\n`headrace dataset check {folder}` shows more")
    layers = tuple(f"layer '{layer['name']}': {layer['task']}, {_images(layer['splits'])}" for layer in report["layers"])
    found = (*(layers or ("no labels: the network learns to reconstruct the images",)), *_problems(report["problems"]))
    return OwnDataset(folder, found, () if layers else (_WITHOUT_LABELS,))


def _images(splits: dict[str, dict[str, int]]) -> str:
    return "images: " + ", ".join(f"{split['images']:,} in {name}" for name, split in splits.items())


def _problems(problems: list[str]) -> tuple[str, ...]:
    if not problems:
        return ()
    where = " (`headrace dataset check` lists them)" if len(problems) > 1 else ""
    return (f"problem: {first_few(problems, 1, '; ')}{where}",)
