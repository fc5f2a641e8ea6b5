"""Amounts as Kubernetes writes them."""

from typing import Final

_FACTORS: Final = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity_bytes(quantity: str) -> int:
    """Bytes of "50Gi", "1.5G" or "1024"; headrace_api.fields.Quantity has checked the format."""
    number = quantity.rstrip("mkKMGTi")
    return int(float(number) * _FACTORS.get(quantity[len(number) :], 1))
