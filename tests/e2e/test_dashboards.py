"""Every panel of every dashboard shows data of the jobs that the tests before this one ran. `prometheus_url` is the cluster's."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_dashboards.ask import Filled, Prometheus
from headrace_dashboards.draw import draw
from headrace_dashboards.generate import as_json, dashboards

LOOK_BACK_SECONDS = 3600
"""Longer than all tests before this one take; the panels' own windows reach back as far."""
PICTURES = Path(".cache/e2e")
SHOWN = {"job": {"project": "steady", "job": "steady-1"}, "compare": {"project": "north"}}
"""What a user would choose at the top of a dashboard."""


@pytest.fixture
def prometheus(prometheus_url: str) -> Prometheus:
    now = time.time()
    return Prometheus(prometheus_url, now - LOOK_BACK_SECONDS, now)


@pytest.mark.parametrize("name", dashboards())
def test_every_query_of_a_dashboard_returns_data(name: str, prometheus: Prometheus) -> None:
    filled = Filled(as_json(dashboards()[name]))
    filled.choose(prometheus, {})
    assert list(without_data(filled, prometheus)) == []


def without_data(filled: Filled, prometheus: Prometheus) -> Iterator[str]:
    for panel in filled.panels():
        for target in panel["targets"]:
            expr = filled.fill(target["expr"], prometheus)
            if not prometheus.series(expr, last=target.get("instant", False)):
                yield f"{panel['title']}: {expr}"


def test_compared_curves_have_an_x_for_every_y(prometheus: Prometheus) -> None:
    filled = Filled(as_json(dashboards()["compare"]))
    filled.choose(prometheus, {})
    for panel in filled.panels():
        if panel["type"] != "xychart":
            continue
        x, y = (prometheus.series(filled.fill(target["expr"], prometheus)) for target in panel["targets"])
        times = {series.labels["trainingjob"]: {time for time, _ in series.points} for series in x}
        for series in y:
            assert {time for time, _ in series.points} <= times[series.labels["trainingjob"]], panel["title"]


@pytest.mark.parametrize("name", dashboards())
def test_a_picture_of_a_dashboard_shows_every_panel(name: str, prometheus: Prometheus) -> None:
    """Grafana is not needed for a look at it: matplotlib draws the panels' queries. Of a job that ran longer than most."""
    filled = Filled(as_json(dashboards()[name]))
    filled.choose(prometheus, SHOWN.get(name, {}))
    PICTURES.mkdir(parents=True, exist_ok=True)
    assert draw(filled, prometheus, PICTURES / f"dashboard-{name}.png") == [], "panels without data"
