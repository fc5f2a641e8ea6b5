"""Amounts as Kubernetes writes them."""

import pytest

from headrace_storage.quantity import quantity_bytes


@pytest.mark.parametrize(
    ("quantity", "want"),
    [("1024", 1024), ("50Gi", 50 * 2**30), ("1.5G", 1_500_000_000), ("2k", 2000), ("3Ki", 3072), ("1Ti", 2**40), ("1500m", 1)],
)
def test_quantities(quantity: str, want: int) -> None:
    assert quantity_bytes(quantity) == want
