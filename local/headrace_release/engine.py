"""The three programs that can build images, behind one face: docker, podman and buildah."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK = {"docker": ("docker", "info"), "podman": ("podman", "info"), "buildah": ("buildah", "info")}
"""By name, in the order of preference: what succeeds only if the engine can work here (docker may be there without its daemon)."""


class EngineError(Exception):
    """No engine, or one that failed; the text says which and what would help."""


def succeeds(command: Sequence[str]) -> bool:
    """Whether the program is there and ends with 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass(frozen=True)
class Engine:
    """One of the programs."""

    name: str

    @classmethod
    def find(cls, wanted: str | None = None, works: Callable[[Sequence[str]], bool] = succeeds) -> "Engine":
        """The one that is asked for, or the first that works.

        Raises:
            EngineError: none works; says what was tried.
        """
        if wanted and wanted not in LOOK:
            raise EngineError(f"ENGINE is {wanted!r}; it can be {', '.join(LOOK)}")
        for name in [wanted] if wanted else LOOK:
            if works(LOOK[name]):
                return cls(name)
        tried = ", ".join(f"`{shlex.join(LOOK[name])}`" for name in ([wanted] if wanted else LOOK))
        raise EngineError(f"nothing here can build images: {tried} failed. hint: apt-get install buildah, or start docker's daemon")

    def build_command(
        self, target: str, image: str, arguments: Mapping[str, str], ca: Path | None, output: Path | None = None
    ) -> tuple[str, ...]:
        """The command that builds a target of the Dockerfile in this folder, as an image or (`output`) as a folder of files."""
        command = [self.name, "build"]
        if self.name == "buildah":
            # Each line's result is kept as the others do it; a chroot needs no more than root, where runc wants cgroups of its own.
            command += ["--layers", *(("--isolation", "chroot") if os.geteuid() == 0 else ())]
        elif self.name == "podman":
            command += ["--layers"]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if ca:
            command += ["--secret", f"id=ca,src={ca}"]
        command += ["--output", f"type=local,dest={output}"] if output else ["--tag", image]
        return (*command, "--target", target, ".")

    def import_commands(self, tar: Path, image: str) -> tuple[tuple[str, ...], ...]:
        """The commands that make an image of one layer out of a root file system."""
        if self.name != "buildah":
            return ((self.name, "import", "--change", "ENV LANG=C.UTF-8", "--change", 'CMD ["python3"]', str(tar), image),)
        container = image.replace("/", "-").replace(":", "-") + "-import"
        return (
            ("buildah", "from", "--name", container, "scratch"),
            ("buildah", "add", "--quiet", container, str(tar), "/"),
            ("buildah", "config", "--env", "LANG=C.UTF-8", "--cmd", "python3", container),
            ("buildah", "commit", "--quiet", "--rm", container, image),
        )

    def has(self, image: str) -> bool:
        """Whether it holds an image of this name."""
        words = ("inspect", "--type=image") if self.name == "buildah" else ("image", "inspect")
        return succeeds((self.name, *words, image))

    def size_mb(self, image: str) -> float:
        """The size of an image on disk, in 10^6 bytes."""
        if self.name == "buildah":
            listed = self._read("buildah", "images", "--format", "{{.Size}}", image)
            number, unit = listed.splitlines()[0].split()  # a line for each of its names
            return float(number) * {"KB": 1e-3, "MB": 1, "GB": 1e3}[unit.upper()]
        return int(self._read(self.name, "image", "inspect", "--format", "{{.Size}}", image)) / 1e6

    def _read(self, *command: str) -> str:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise EngineError(f"`{shlex.join(command)}` failed: {ended.stderr.strip()}")
        return ended.stdout.strip()


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Runs it with its output on this terminal; that is the progress.

    Raises:
        EngineError: it is not there or failed; the text repeats the command, to be tried by hand.
    """
    print(f"$ {shlex.join(command)}", file=sys.stderr, flush=True)
    try:
        code = subprocess.run(command, check=False, env={**os.environ, **(environment or {})}).returncode
    except FileNotFoundError as error:
        raise EngineError(f"{command[0]} is not installed") from error
    if code:
        raise EngineError(f"this ended with {code}: {shlex.join(command)}")
