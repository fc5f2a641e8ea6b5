"""The node's image table: the program that it runs for each image."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any


class ImageNotFoundError(Exception):
    """The image is not in the table; the message lists those that are."""


def parse_image(option: str) -> tuple[str, tuple[str, ...]]:
    """Parses `NAME=ARGV...` into (name, entrypoint words), with shell quoting; ARGV is empty for an image without an entrypoint."""
    name, equals, words = option.partition("=")
    if not name or not equals:
        raise ValueError(f"--image {option!r} is not NAME=ARGV..., for example trainer:dev='python -m trainer'")
    return name, tuple(shlex.split(words))


def command_line(container: Mapping[str, Any], images: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """(the image's entrypoint, the pod's own words): `command` replaces the entrypoint, `args` follow either.

    They are separate because only the pod's words contain paths in the container; the entrypoint is a program on this machine.

    Raises ImageNotFoundError.
    """
    try:
        entrypoint = images[container["image"]]
    except KeyError:
        known = ", ".join(sorted(images)) or "none"
        raise ImageNotFoundError(
            f'failed to find image "{container["image"]}" on this process node; known images: {known}'
        ) from None
    command, args = container.get("command"), container.get("args", ())
    return ([], [*command, *args]) if command else ([*entrypoint], [*args])
