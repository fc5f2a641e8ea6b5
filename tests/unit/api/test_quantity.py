"""Amounts as Kubernetes writes them."""

from decimal import Decimal

import pytest

from headrace_api.quantity import in_units, parse_quantity


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("2", Decimal(2)),
        ("500m", Decimal("0.5")),
        ("1.5", Decimal("1.5")),
        ("16Gi", Decimal(16 * 2**30)),
        ("1k", Decimal(1000)),
        ("1M", Decimal(10**6)),
        ("1E", Decimal(10**18)),
        ("1e3", Decimal(1000)),
        ("1E3", Decimal(1000)),
        ("100Ki", Decimal(102400)),
        ("1.5G", Decimal(1_500_000_000)),
        ("1Ti", Decimal(2**40)),
        ("250u", Decimal("0.00025")),
    ],
)
def test_every_notation_of_a_quantity_is_read(text: str, want: Decimal) -> None:
    assert parse_quantity(text) == want


@pytest.mark.parametrize("text", ["", "lots", "1Xi", "Gi", "1 Gi", "1e999999999", "１"])
def test_an_invalid_quantity_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text!r} is not a Kubernetes quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("quantity", "divisor", "want"),
    [("1500m", "1", 2), ("1500m", "1m", 1500), ("1Gi", "1Mi", 1024), ("1Gi", "0", 2**30), ("250m", "0", 1)],
)
def test_a_quantity_in_units_of_the_divisor_is_rounded_up(quantity: str, divisor: str, want: int) -> None:
    assert in_units(quantity, divisor) == want
