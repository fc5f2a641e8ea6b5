"""Real photographs with real annotations, where they are at hand: `shared/data` in the checkout or beside it."""

from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; skips where a plain clone has none (they are not part of the repository)."""
    for folder in (_CHECKOUT / "shared" / "data", _CHECKOUT.parent / "shared" / "data"):
        if (folder / "README.md").is_file():
            return folder
    pytest.skip("no shared/data in or beside the checkout: real photographs are not part of the repository")
