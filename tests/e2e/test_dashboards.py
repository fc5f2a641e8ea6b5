"""Every panel of every dashboard shows data: from a running job, and from those that earlier tests ran."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace_api.names import State
from headrace_dashboards.ask import Filled, Prometheus
from headrace_dashboards.draw import draw
from headrace_dashboards.generate import as_json, dashboards
from headrace_e2e.lab import ENDLESS, Lab, manifest

PICTURES = Path(".cache/e2e")
CHOSEN = {"fleet": {}, "job": {"project": "shown", "job": "shown-2"}, "compare": {"project": "shown"}}
"""What a user selects at the top of a dashboard."""


@pytest.fixture(scope="module")
def now(lab: Lab) -> Iterator[Prometheus]:
    """A few minutes of data from a finished job and a running one, since a job's page shows its current state."""
    begun = time.time()
    evaluations = {"evaluateEvery": 50, "checkpointEvery": 100}
    slower = {"optimizer": {"adamw": {"learningRate": 0.00005}}}
    lab.apply(manifest("shown-1", "shown", maxIterations=400, **evaluations, **slower))
    job = lab.apply(manifest("shown-2", "shown", maxIterations=ENDLESS, **evaluations))
    lab.until("shown-1", State.DONE, timeout=300)
    lab.until_iteration(job, 600)

    def with_speed() -> Prometheus | None:
        """ "Time left" needs the speed over 15 s at least; a fast machine is long past these iterations by then."""
        seen = Prometheus(lab.prometheus_url, begun, time.time())
        return seen if seen.series(f'deriv(headrace_trainer_iteration{{trainingjob="{job}"}}[5m:15s]) > 0') else None

    yield lab.wait(with_speed, f"Prometheus knows the speed of {job}")
    lab.delete(job)


@pytest.fixture
def prometheus(name: str, lab: Lab, now: Prometheus) -> Prometheus:
    """The fleet has been observed since the first test."""
    since = lab.history.events[0].at - time.monotonic() + time.time()
    return replace(now, start=since) if name == "fleet" else now


def chosen(name: str, prometheus: Prometheus) -> Filled:
    """A dashboard as a user sees it."""
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
            series = prometheus.series(expr, last=target.get("instant", False))
            if not any(math.isfinite(value) for one in series for _, value in one.points):
                yield f"{panel['title']}: {expr}"


@pytest.mark.parametrize("name", ["compare"])
def test_compared_curves_have_an_x_for_every_y(name: str, prometheus: Prometheus) -> None:
    filled = chosen(name, prometheus)
    for panel in filled.panels():
        if panel["type"] != "xychart":
            continue
        x, y = (prometheus.series(filled.fill(target["expr"], prometheus)) for target in panel["targets"])
        times = {series.labels["trainingjob"]: {time for time, _ in series.points} for series in x}
        for series in y:
            assert {time for time, _ in series.points} <= times[series.labels["trainingjob"]], panel["title"]


@pytest.mark.parametrize("name", dashboards())
def test_a_picture_of_a_dashboard_shows_every_panel(name: str, prometheus: Prometheus) -> None:
    """You can look at dashboards without Grafana: matplotlib draws the panels' queries."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    assert draw(chosen(name, prometheus), prometheus, PICTURES / f"dashboard-{name}.png") == [], "panels without data"
