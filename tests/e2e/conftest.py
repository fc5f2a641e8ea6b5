"""The cluster for the end-to-end tests: one for the whole run, with Headrace installed from its chart."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace_e2e.lab import Lab
from headrace_e2e.session import laboratory

REPORT = Path(".cache/e2e/report.json")
"""What was measured, and what this cluster cannot do."""
TEST_SECONDS = 1800
"""The first test's time includes the start: on a machine without caches, images are pushed and pulled for minutes."""
LAST = ("test_stop_times.py", "test_dashboards.py", "test_uninstall.py")
"""Dashboards show what the tests before them did; a newly installed operator starts its counts at zero."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sets each test's time limit, and orders tests by file name, except for the last ones."""
    mine = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in mine:
        item.add_marker(pytest.mark.timeout(TEST_SECONDS))
    order = {name: number for number, name in enumerate(LAST, 1)}
    items.sort(key=lambda item: order.get(item.path.name, 0))


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Any:
    """Prints a line past pytest's capture: some steps take minutes."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    begun = time.monotonic()

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n[{time.monotonic() - begun:5.0f} s] {text}", flush=True)

    return line


@pytest.fixture(scope="session")
def report() -> Iterator[dict[str, Any]]:
    """Tests put what they measure here; at the end it goes into `REPORT`."""
    facts: dict[str, Any] = {}
    yield facts
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(facts, indent=2) + "\n")


@pytest.fixture(scope="session")
def lab(say: Any) -> Iterator[Lab]:
    """A cluster with Headrace in it. However the tests end, nothing of it is left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else pytest ends at once, without tearing fixtures down
    with laboratory(say) as ready:
        say("the cluster is up")
        notes = ready.release.install()
        assert "tj" in notes or "trainingjob" in notes.lower(), f"the notes do not say what to do next:\n{notes}"
        say("Headrace is installed")
        yield ready


@pytest.fixture(autouse=True)
def never_two_trainers_of_a_project(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did."""
    yield
    if "lab" in request.fixturenames:
        lab: Lab = request.getfixturevalue("lab")
        for live in lab.history.live_pods():
            crowds = {project: pods for project, pods in live.items() if len(pods) > 1}
            assert not crowds, f"two trainers of one project at the same time: {crowds}"
