"""How many there are of something, for people."""

from typing import Final

_SINGULAR: Final = {"classes": "class", "of them anomalous": "of them anomalous"}
"""Of what does not just lose its s."""


def counted(count: int, plural: str) -> str:
    """ "1 class", "2 classes", "1,200 classes"."""
    return f"{count:,} {_SINGULAR.get(plural, plural.removesuffix('s')) if count == 1 else plural}"
