"""What a PATCH sends."""

import pytest

from headrace_operator.patches import merge_patch


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": [1, 2]}, {"a": [2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, {}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    ],
)
def test_a_patch_has_only_what_changed(old: dict[str, object], new: dict[str, object], want: dict[str, object]) -> None:
    assert merge_patch(old, new) == want
