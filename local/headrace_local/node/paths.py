"""Rewrites paths that a container would see through its mounts to their places on this machine."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath


def rewrite(word: str, mounts: Mapping[str, Path]) -> str:
    """The word itself, or its place on this machine if it is a mount path or below one.

    `mounts` maps absolute paths in the container to paths here. Matching goes by path components (`/work` does not
    match `/workspace`), and the longest mount path wins, as in nested mounts.
    """
    if not word.startswith("/"):
        return word
    path = PurePosixPath(word)
    for mount in sorted(mounts, key=lambda mount: len(PurePosixPath(mount).parts), reverse=True):
        if path.is_relative_to(mount) and ".." not in path.parts:
            return str(mounts[mount] / path.relative_to(mount))
    return word
