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


def command_line(container: Mapping[str, Any], images: Mapping[str, Sequence[str]]) -> list[str]:
    """The container's words before expansion: `command` replaces the entrypoint, `args` follow either.

    Raises ImageNotFoundError.
    """
    try:
        entrypoint = images[container["image"]]
    except KeyError:
        known = ", ".join(sorted(images)) or "none"
        raise ImageNotFoundError(
            f'failed to find image "{container["image"]}" on this process node; known images: {known}'
        ) from None
    return [*(container.get("command") or entrypoint), *container.get("args", ())]
