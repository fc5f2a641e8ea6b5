"""Lists an image's Python packages in CycloneDX, from the packages' own records in that image."""

import os
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from headrace_release.engine import Engine, run
from headrace_release.images import PROGRAMS, Plan, ca_bundle

SPECIFICATION = "1.6"


def write_inventories(engine: Engine, plan: Plan, folder: Path, execute: Callable[[Sequence[str]], None] = run) -> list[Path]:
    """Writes one file per image and one for the lock file; returns their paths.

    Raises:
        EngineError: the engine or cyclonedx-py failed.
    """
    written = [folder / f"requirements.lock-{plan.version}.cdx.json"]
    execute(command("requirements", written[0], "requirements.lock"))
    for program in PROGRAMS:
        written.append(folder / f"headrace-{program}-{plan.version}.cdx.json")
        with tempfile.TemporaryDirectory() as temporary:
            # Only the records, in an otherwise empty environment: cyclonedx-py reads them as if the packages were installed.
            venv.create(temporary, with_pip=False)
            records = Path(temporary, "records")
            arguments = plan.arguments(os.environ)
            execute(engine.build_command(f"{program}-list", "", arguments, ca_bundle(os.environ), output=records))
            move_records(records, Path(temporary))
            execute(command("environment", written[-1], "--pyproject", "pyproject.toml", str(Path(temporary, "bin", "python"))))
    return written


def command(kind: str, output: Path, *rest: str) -> tuple[str, ...]:
    """A command line of cyclonedx-py; its output depends only on its input."""
    options = ("--output-reproducible", "--spec-version", SPECIFICATION, "--output-file", str(output))
    # With PYTHONPATH it would see this shell's packages in every environment.
    return ("env", "--unset=PYTHONPATH", sys.executable, "-m", "cyclonedx_py", kind, *options, *rest)


def move_records(records: Path, environment: Path) -> None:
    """Puts every `.dist-info` below `records` into the environment's site-packages, whatever Python version the image has."""
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    for record in records.glob("lib/python3*/site-packages/*.dist-info"):
        record.rename(site_packages / record.name)
