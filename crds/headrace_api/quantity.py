"""Reads Kubernetes quantities: `500m`, `16Gi`, `2`, `1e3`."""

import math
import re
from decimal import Decimal
from typing import Final

_FACTORS: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9, "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30, "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip
# "1E3" is a number with an exponent, "1E" one with a suffix.
_QUANTITY: Final = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)(|[numkMGTPE]|[KMGTPE]i)")


def parse_quantity(text: str) -> Decimal:
    """The number that a quantity means: cores, bytes or a count. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity such as 500m, 16Gi or 2")
    return Decimal(match[1]) * _FACTORS[match[2]]


def in_units(quantity: str, divisor: str) -> int:
    """The quantity divided by the divisor, rounded up, as a resourceFieldRef shows it (divisor "0" means 1)."""
    unit = parse_quantity(divisor)
    return math.ceil(parse_quantity(quantity) / (unit or Decimal(1)))
