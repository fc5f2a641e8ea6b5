"""promtool, from where the cluster's programs come from; `tests/conftest.py` has seen to it that it is there."""

from pathlib import Path

import pytest

from headrace_local.binaries import FOR_TESTS, find_binaries


@pytest.fixture(scope="session")
def promtool() -> Path:
    return find_binaries(wanted=[binary for binary in FOR_TESTS if binary.name == "promtool"])["promtool"]
