"""Long lists of names, cut short for people."""

import pytest

from headrace_api.first_few import first_few


@pytest.mark.parametrize(
    ("items", "want"),
    [("", ""), ("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c and 1 more"), ("abcdefg", "a, b, c and 4 more")],
)
def test_what_is_left_out_is_counted(items: str, want: str) -> None:
    assert first_few(items, 3) == want


def test_clauses_end_before_the_count() -> None:
    assert first_few(["x is bad", "y is bad", "z is bad"], 2, "; ") == "x is bad; y is bad; and 1 more"


def test_characters_with_spaces_between_read_as_a_list() -> None:
    assert first_few("xyz", 2, " ") == "x y and 1 more"


def test_large_counts_are_grouped_and_items_need_not_be_text() -> None:
    assert first_few(range(1201), 1) == "0 and 1,200 more"
