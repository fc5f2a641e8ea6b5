"""Counts with a noun, for people."""

from typing import Final

_SINGULAR: Final = {"classes": "class", "of them anomalous": "of them anomalous"}
"""Singulars that do more than drop the s."""


def counted(count: int, plural: str) -> str:
    """ "1 class", "2 classes", "1,200 classes"."""
    return f"{count:,} {_SINGULAR.get(plural, plural.removesuffix('s')) if count == 1 else plural}"
