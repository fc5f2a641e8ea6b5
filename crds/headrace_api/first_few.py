"""Shortens long lists for messages."""

from collections.abc import Iterable


def first_few(items: Iterable[object], most: int, between: str = ", ") -> str:
    """The first `most` items, and how many more there are: "a, b, c and 4 more"."""
    texts = [str(item) for item in items]
    shown, left = between.join(texts[:most]), len(texts) - most
    # "a, b and 4 more", but "no field x; bad field y; and 4 more": otherwise "and" would seem to continue the last clause.
    return f"{shown}{between.rstrip(', ')} and {left:,} more" if left > 0 else shown
