"""Every panel of every dashboard shows data: of a job that runs, and of those that the tests before this one ran."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_dashboards.ask import Filled, Prometheus
from headrace_dashboards.draw import draw
from headrace_dashboards.generate import as_json, dashboards
from headrace_e2e.lab import ENDLESS, Lab, manifest

LOOK_BACK_SECONDS = 3600
"""Longer than all tests before this one take; the panels' own windows reach back as far."""
PICTURES = Path(".cache/e2e")
CHOSEN = {"fleet": {}, "job": {"project": "shown", "job": "shown-1"}, "compare": {"project": "north"}}
"""What a user chooses at the top of a dashboard."""


@pytest.fixture(scope="module", autouse=True)
def running_job(lab: Lab) -> Iterator[None]:
    """What a job's page says of now, it says of one that runs: this one has been evaluated twice, and goes on."""
    job = lab.apply(manifest("shown-1", "shown", maxIterations=ENDLESS, evaluateEvery=20))
    lab.until_iteration(job, 45)
    yield
    lab.delete(job)


@pytest.fixture(scope="module")
def prometheus(lab: Lab) -> Prometheus:
    now = time.time()
    return Prometheus(lab.prometheus_url, now - LOOK_BACK_SECONDS, now)


def chosen(name: str, prometheus: Prometheus) -> Filled:
    """A dashboard as a user looks at it."""
    filled = Filled(as_json(dashboards()[name]))
    filled.choose(prometheus, CHOSEN[name])
    return filled


@pytest.mark.parametrize("name", dashboards())
def test_every_query_of_a_dashboard_returns_data(name: str, prometheus: Prometheus) -> None:
    assert list(without_data(chosen(name, prometheus), prometheus)) == []


def without_data(filled: Filled, prometheus: Prometheus) -> Iterator[str]:
    for panel in filled.panels():
        for target in panel["targets"]:
            expr = filled.fill(target["expr"], prometheus)
            if not prometheus.series(expr, last=target.get("instant", False)):
                yield f"{panel['title']}: {expr}"


def test_compared_curves_have_an_x_for_every_y(prometheus: Prometheus) -> None:
    filled = chosen("compare", prometheus)
    for panel in filled.panels():
        if panel["type"] != "xychart":
            continue
        x, y = (prometheus.series(filled.fill(target["expr"], prometheus)) for target in panel["targets"])
        times = {series.labels["trainingjob"]: {time for time, _ in series.points} for series in x}
        for series in y:
            assert {time for time, _ in series.points} <= times[series.labels["trainingjob"]], panel["title"]


@pytest.mark.parametrize("name", dashboards())
def test_a_picture_of_a_dashboard_shows_every_panel(name: str, prometheus: Prometheus) -> None:
    """Grafana is not needed for a look at it: matplotlib draws the panels' queries."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    assert draw(chosen(name, prometheus), prometheus, PICTURES / f"dashboard-{name}.png") == [], "panels without data"
