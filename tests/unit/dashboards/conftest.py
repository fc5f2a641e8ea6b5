"""promtool, which speaks PromQL with Prometheus' own engine and needs no server."""

from pathlib import Path

import pytest

from headrace_local.binaries import FOR_TESTS, find_binaries


@pytest.fixture(scope="session")
def promtool() -> Path:
    """From where the cluster's programs come from; `tests/conftest.py` has seen to it that it is there."""
    return find_binaries(wanted=[binary for binary in FOR_TESTS if binary.name == "promtool"])["promtool"]
