"""Pushes the images from `make images` to the registry that the nodes pull from."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace_release.engine import Engine
from headrace_release.version import current

ROOT = Path(__file__).parents[3]
PROGRAMS = ("operator", "trainer")


class ImagesError(RuntimeError):
    """An image is not built or cannot be pushed; the message says what to do."""


@dataclass(frozen=True)
class Pushed:
    """The images' names, as pods use them."""

    operator: str
    trainer: str
    pause: str
    """A program that sleeps."""


def push_all(registry: str, crane: Path, say: Callable[[str], None]) -> Pushed:
    """Pushes both images, and makes a third from the operator's layers. Content already in the registry is not sent again."""
    engine = Engine.find(os.environ.get("ENGINE") or None)
    names = {}
    for program in PROGRAMS:
        begun = time.monotonic()
        local = f"localhost/headrace-{program}:{os.environ.get('TAG') or current(ROOT)}"
        # The tag follows the content, so a node never runs an older image under the same tag.
        names[program] = f"{registry}/headrace-{program}:{_image_id(engine, local)[:12]}"
        push(engine, local, names[program])
        say(f"{local} pushed in {time.monotonic() - begun:.0f} s")
    pause = f"{registry}/pause:1"
    _run(str(crane), "mutate", names["operator"], "--insecure", "--entrypoint=sleep,infinity", "--cmd=", f"--tag={pause}")
    return Pushed(names["operator"], names["trainer"], pause)


def retag(crane: Path, image: str, tag: str) -> None:
    """Adds another tag to an image in the registry."""
    _run(str(crane), "tag", "--insecure", image, tag)


def push(engine: Engine, local: str, target: str) -> None:
    """
    Raises:
        ImagesError: the engine failed.
    """
    if engine.name == "docker":
        # docker skips TLS only for registries on a list; by default, the list holds only 127.0.0.0/8.
        _run("docker", "tag", local, target)
        _run("docker", "push", "--quiet", target)
    else:
        _run(engine.name, "push", "--quiet", "--tls-verify=false", local, target)


def _image_id(engine: Engine, image: str) -> str:
    options = ["--type=image"] if engine.name == "buildah" else []
    inspected = json.loads(_run(engine.name, "inspect", *options, image, hint="make images"))
    found: str = inspected["FromImageID"] if engine.name == "buildah" else inspected[0]["Id"].removeprefix("sha256:")
    return found


def _run(*command: str, hint: str = "") -> str:
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        said = completed.stderr.strip()[-2000:]
        raise ImagesError(f"`{' '.join(command)}` failed: {said}{f'; hint: {hint}' if hint else ''}")
    return completed.stdout
