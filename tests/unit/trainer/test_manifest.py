"""Reads a dataset's dataset.json, wherever it is."""

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.manifest import manifest_from


def test_a_manifest_is_read_with_its_defaults() -> None:
    assert manifest_from(b'{"version": 1}').val_share == 0.1


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b"{}", "s3://data/dataset.json is not valid: version: is required"),
        (
            b'{"version": 1, "valshare": 0.2}',
            "s3://data/dataset.json is not valid: valshare: there is no such field; did you mean 'valShare'?",
        ),
        (
            b"not json",
            "s3://data/dataset.json is not valid: the document is not JSON: expected ident at line 1 column 2",
        ),
    ],
)
def test_errors_are_reported_with_their_place(content: bytes, want: str) -> None:
    with pytest.raises(FatalError) as error:
        manifest_from(content, "s3://data/")
    assert (error.value.reason, error.value.message) == (Reason.BAD_DATASET, want)
