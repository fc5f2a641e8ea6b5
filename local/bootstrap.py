"""Makes .venv from requirements.lock, which `make` needs before it can run any Headrace code. Standard library only.

A second run does nothing unless the lock file changed. Every step prints what it does and, at its end, how long it took. If you
interrupt one, run it again: uv keeps what it has downloaded.
"""

import hashlib
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "headrace.lock.sha256"
UV = ROOT / "local" / "uv.txt"
NEEDED_GIB = 8
"""The CUDA build of torch and its libraries: about 5.4 GiB installed, 2.5 GiB downloaded."""


def main() -> None:
    """Brings .venv up to date, or exits with a message about what is missing."""
    wanted = _fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    _check_machine()
    uv = _step("uv, which installs the rest", _find_uv)
    if not (VENV / "bin" / "python").exists():
        create = (uv, "venv", "--quiet", "--python", sys.executable, str(VENV))
        _step("an empty environment in .venv", lambda: _run(*create))
    install = (uv, "pip", "sync", "--python", str(VENV / "bin" / "python"), "--require-hashes", "requirements.lock")
    _step("the packages of requirements.lock (uv downloads up to 2.5 GB that are not cached)", lambda: _run(*install))
    editable = (uv, "pip", "install", "--quiet", "--python", str(VENV / "bin" / "python"), "--no-deps", "--editable", ".")
    _step("Headrace itself, editable", lambda: _run(*editable))
    STAMP.write_text(wanted)


def _fingerprint() -> str:
    files = [ROOT / "requirements.lock", ROOT / "pyproject.toml"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files) + sys.version.encode()).hexdigest()


def _check_machine() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs under whatever python3 is on the machine
        found = f"{sys.executable} is {sys.version.split()[0]}"
        sys.exit(f"Headrace needs Python 3.11 or newer; {found}. hint: make PYTHON=python3.12 …")
    free_gib = shutil.disk_usage(ROOT).free / 2**30
    if free_gib < NEEDED_GIB:
        sys.exit(f"not enough disk space: {ROOT} has {free_gib:.1f} GiB free, but the Python environment needs {NEEDED_GIB} GiB")


def _find_uv() -> str:
    if found := shutil.which("uv"):
        return found
    folder = ROOT / ".cache" / "uv"
    try:
        venv.create(folder, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("python3 -m venv does not work here. hint: apt-get install python3-venv, or install uv")
    _run(
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "-r",
        str(UV),
    )
    return str(folder / "bin" / "uv")


def _step(title: str, work: Callable[[], T]) -> T:
    print(f"setting up: {title} …", file=sys.stderr, flush=True)
    begun = time.monotonic()
    result = work()
    print(f"            done in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return result


def _run(*command: str) -> None:
    ended = subprocess.run(command, cwd=ROOT, check=False)
    if ended.returncode:
        sys.exit(f"failed: {' '.join(command)}\nhint: fix the problem shown above, then run the same make target again")


if __name__ == "__main__":
    main()
