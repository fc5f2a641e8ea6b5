"""The node's image table: which program stands for which image."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any


class ImageNotFoundError(Exception):
    """The image is not in the table; the message says which ones are."""


def parse_image(option: str) -> tuple[str, tuple[str, ...]]:
    """`NAME=ARGV...` to (name, entrypoint words); shell quoting, nothing after `=` for an image without one."""
    name, equals, words = option.partition("=")
    if not name or not equals:
        raise ValueError(f"--image {option!r} is not NAME=ARGV..., for example trainer:dev='python -m trainer'")
    return name, tuple(shlex.split(words))


def command_line(container: Mapping[str, Any], images: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """(the image's entrypoint, the pod's own words): `command` replaces the entrypoint, `args` follow either.

    They are kept apart because only the pod's words speak of paths in the container; the entrypoint is a program of this machine.

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
