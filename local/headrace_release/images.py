"""`make images`: builds the operator's and the trainer's image, and prints their sizes."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from headrace_release import base_image
from headrace_release.engine import Engine, run

PROGRAMS = ("operator", "trainer")
INDEX_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
"""Where packages come from, passed on from this shell. They stay in the builder stages, which do not ship."""
CA_VARIABLE = "SSL_CERT_FILE"


@dataclass(frozen=True)
class Plan:
    """What to build, and from what."""

    version: str
    revision: str
    repository: str = "localhost"
    base: str | None = None
    builder: str | None = None

    def image(self, program: str) -> str:
        """The name of an image: repository/headrace-program:version."""
        return f"{self.repository}/headrace-{program}:{self.version}"

    def arguments(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The Dockerfile's arguments, without those that keep the Dockerfile's default."""
        builder = self.builder or (base_image.BUILDER if self.base == base_image.BASE else None)
        given = {"BASE": self.base, "BUILDER": builder, "VERSION": self.version, "REVISION": self.revision}
        given |= {name: environment.get(name) for name in INDEX_VARIABLES}
        return {name: value for name, value in given.items() if value}


def build_images(
    engine: Engine, plan: Plan, programs: Sequence[str] = PROGRAMS, execute: Callable[[Sequence[str]], None] = run
) -> dict[str, float]:
    """Builds the images one after the other, and shows the engine's progress. Returns seconds by image name."""
    took = {}
    for program in programs:
        begun = time.monotonic()
        execute(engine.build_command(program, plan.image(program), plan.arguments(os.environ), ca_bundle(os.environ)))
        took[plan.image(program)] = time.monotonic() - begun
    return took


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """This machine's CA bundle, if it names one. The build uses it, but it stays out of the images."""
    path = environment.get(CA_VARIABLE)
    return Path(path) if path else None


def tell(console: Console, engine: Engine, took: Mapping[str, float]) -> None:
    """Prints one line per image."""
    for image, seconds in took.items():
        console.print(f"{image}   {engine.size_mb(image):,.0f} MB, built in {seconds:.0f} s", soft_wrap=True)


def revision(root: Path) -> str:
    """The checked-out commit, with the suffix `-dirty` if files differ from it; empty if git does not know it."""
    command = ("git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else ""
