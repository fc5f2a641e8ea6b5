"""promtool, from the same place as the cluster's programs; `tests/conftest.py` has already fetched it."""

from pathlib import Path

import pytest

from headrace_local.binaries import FOR_TESTS, find_binaries


@pytest.fixture(scope="session")
def promtool() -> Path:
    return find_binaries(wanted=[binary for binary in FOR_TESTS if binary.name == "promtool"])["promtool"]
