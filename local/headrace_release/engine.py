"""One interface to the three programs that can build images: docker, podman and buildah."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK = {"docker": ("docker", "info"), "podman": ("podman", "info"), "buildah": ("buildah", "info")}
"""Engines in order of preference, each with a command that succeeds only if the engine works here (docker may lack its daemon)."""


class EngineError(Exception):
    """There is no engine, or a command failed; the message says which, and what would help."""


def succeeds(command: Sequence[str]) -> bool:
    """Whether the program exists and exits with 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass(frozen=True)
class Engine:
    """One of the three programs."""

    name: str

    @classmethod
    def find(cls, wanted: str | None = None, works: Callable[[Sequence[str]], bool] = succeeds) -> "Engine":
        """The engine you ask for, or the first that works.

        Raises:
            EngineError: none works; the message lists the failed commands.
        """
        if wanted and wanted not in LOOK:
            raise EngineError(f"ENGINE is {wanted!r}; it can be {', '.join(LOOK)}")
        for name in [wanted] if wanted else LOOK:
            if works(LOOK[name]):
                return cls(name)
        tried = ", ".join(f"`{shlex.join(LOOK[name])}`" for name in ([wanted] if wanted else LOOK))
        raise EngineError(
            f"no program here can build images: {tried} failed. hint: apt-get install buildah, or start docker's daemon"
        )

    def build_command(
        self, target: str, image: str, arguments: Mapping[str, str], ca: Path | None, output: Path | None = None
    ) -> tuple[str, ...]:
        """The command that builds a target of the Dockerfile in this folder, as an image or (`output`) as a folder of files."""
        command = [self.name, "build"]
        if self.name == "buildah":
            # Cache each line's result, as the others do. A chroot only needs root, while runc needs its own cgroups.
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
        """The commands that turn a root file system into an image with one layer."""
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
        """Whether the engine has an image with this name."""
        words = ("inspect", "--type=image") if self.name == "buildah" else ("image", "inspect")
        return succeeds((self.name, *words, image))

    def size_mb(self, image: str) -> float:
        """The size of an image on disk, in 10^6 bytes."""
        if self.name == "buildah":
            listed = self._read("buildah", "images", "--format", "{{.Size}}", image)
            number, unit = listed.splitlines()[0].split()  # one line for each of its names
            return float(number) * {"KB": 1e-3, "MB": 1, "GB": 1e3}[unit.upper()]
        return int(self._read(self.name, "image", "inspect", "--format", "{{.Size}}", image)) / 1e6

    def _read(self, *command: str) -> str:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise EngineError(f"`{shlex.join(command)}` failed: {ended.stderr.strip()}")
        return ended.stdout.strip()


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Runs a command with its output on this terminal, as progress.

    Raises:
        EngineError: it does not exist or failed; the message repeats the command, so that you can try it by hand.
    """
    print(f"$ {shlex.join(command)}", file=sys.stderr, flush=True)
    try:
        code = subprocess.run(command, check=False, env={**os.environ, **(environment or {})}).returncode
    except FileNotFoundError as error:
        raise EngineError(f"{command[0]} is not installed") from error
    if code:
        raise EngineError(f"exit code {code} from: {shlex.join(command)}")
