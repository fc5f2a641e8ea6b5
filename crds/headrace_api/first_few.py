"""Lists of names that may be long, cut short for people."""

from collections.abc import Iterable


def first_few(items: Iterable[object], most: int, between: str = ", ") -> str:
    """The first `most` of the items, and how many are left out: "a, b, c and 4 more"."""
    texts = [str(item) for item in items]
    shown, left = between.join(texts[:most]), len(texts) - most
    # "a, b and 4 more", but "no field x; bad field y; and 4 more": the last clause must not seem to go on.
    return f"{shown}{between.rstrip(', ')} and {left:,} more" if left > 0 else shown
