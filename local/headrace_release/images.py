"""`make images`: builds the operator's and the trainer's image, and says how large they are."""

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
"""Where packages come from, taken over from this shell. They stay in the builder stages, which are not shipped."""
CA_VARIABLE = "SSL_CERT_FILE"


@dataclass(frozen=True)
class Plan:
    """What is built and from what."""

    version: str
    revision: str
    repository: str = "localhost"
    base: str | None = None
    builder: str | None = None

    def image(self, program: str) -> str:
        """The name of an image: repository/headrace-program:version."""
        return f"{self.repository}/headrace-{program}:{self.version}"

    def arguments(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The Dockerfile's arguments. What is not said is as the Dockerfile has it."""
        builder = self.builder or (base_image.BUILDER if self.base == base_image.BASE else None)
        given = {"BASE": self.base, "BUILDER": builder, "VERSION": self.version, "REVISION": self.revision}
        given |= {name: environment.get(name) for name in INDEX_VARIABLES}
        return {name: value for name, value in given.items() if value}


def build_images(
    engine: Engine, plan: Plan, programs: Sequence[str] = PROGRAMS, execute: Callable[[Sequence[str]], None] = run
) -> dict[str, float]:
    """Builds them one after the other, with the engine's own progress. Returns seconds by image name."""
    took = {}
    for program in programs:
        begun = time.monotonic()
        execute(engine.build_command(program, plan.image(program), plan.arguments(os.environ), ca_bundle(os.environ)))
        took[plan.image(program)] = time.monotonic() - begun
    return took


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """The bundle that this machine trusts, if it says so: it is lent to the build and stays out of the images."""
    path = environment.get(CA_VARIABLE)
    return Path(path) if path else None


def tell(console: Console, engine: Engine, took: Mapping[str, float]) -> None:
    """A line per image."""
    for image, seconds in took.items():
        console.print(f"{image}   {engine.size_mb(image):,.0f} MB, built in {seconds:.0f} s", soft_wrap=True)


def revision(root: Path) -> str:
    """The commit that is checked out, with `-dirty` after it if files differ from it; empty where git knows none."""
    command = ("git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else ""
