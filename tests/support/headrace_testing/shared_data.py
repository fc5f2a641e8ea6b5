"""Finds real photographs with real annotations, if this checkout has them: `shared/data` in the checkout or beside it."""

from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).parents[3]


def find_shared_data() -> Path | None:
    """The folder of real datasets; None in a plain clone."""
    folders = (_CHECKOUT / "shared" / "data", _CHECKOUT.parent / "shared" / "data")
    return next((folder for folder in folders if (folder / "README.md").is_file()), None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets; skips in a plain clone (they are not part of the repository)."""
    folder = find_shared_data()
    if folder is None:
        pytest.skip("no shared/data in or beside the checkout: real photographs are not part of the repository")
    return folder
