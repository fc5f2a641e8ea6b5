"""Pictures: every type of panel can be drawn, and panels without data are reported."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from headrace_dashboards.ask import Filled, Prometheus, Series
from headrace_dashboards.draw import PAINTERS, draw, in_unit
from headrace_dashboards.generate import as_json, dashboards

VALUES = dict.fromkeys(("namespace", "project", "job", "head", "term", "score_head", "score"), "x")


@dataclass(frozen=True)
class Invented(Prometheus):
    """Two series for every expression, except those that ask for `nothing`."""

    nothing: str = "no such metric"

    def series(self, expr: str, *, last: bool = False) -> list[Series]:
        if self.nothing in expr:
            return []
        points = [(self.end, 1.0)] if last else [(self.start + n, float(n % 2)) for n in range(int(self.end - self.start))]
        labels = ({"trainingjob": job, "phase": job, "state": job} for job in ("a", "b"))
        return [Series(one, points) for one in labels]


@pytest.mark.parametrize("name", dashboards())
def test_a_picture_of_each_dashboard(name: str, tmp_path: Path) -> None:
    prometheus = Invented("http://nowhere", 1_700_000_000, 1_700_000_030)
    path = tmp_path / "picture.png"
    assert draw(Filled(as_json(dashboards()[name]), VALUES), prometheus, path) == []
    with Image.open(path) as picture:
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 50, "the picture is only a background"


def test_panels_without_data_are_named(tmp_path: Path) -> None:
    prometheus = Invented("http://nowhere", 0, 30, nothing="headrace_gpus_in_use")
    empty = draw(Filled(as_json(dashboards()["fleet"]), VALUES), prometheus, tmp_path / "picture.png")
    assert empty == ["GPUs in use", "GPUs in use by project"]


def test_every_type_of_panel_has_a_painter() -> None:
    types = {panel["type"] for page in dashboards().values() for panel in as_json(page)["panels"]}
    assert types - {"row"} == set(PAINTERS)


@pytest.mark.parametrize(
    ("value", "unit", "want"),
    [
        (90, "s", "1.5 min"),
        (0.004, "s", "4 ms"),
        (0.25, "percentunit", "25%"),
        (2**20, "bytes", "1 MiB"),
        (3 * 2**10, "Bps", "3 KiB/s"),
        (0.5, "bytes", "0.5 B"),
        (0.000125, "short", "0.000125"),
        (1234, "short", "1234"),
        (12_345, "short", "12.3k"),
        (2_500_000, "short", "2.5M"),
        (2, "reqps", "2 req/s"),
        (-0.5, "short", "-0.5"),
        (0, "s", "0"),
        (math.nan, "s", "nan"),
    ],
)
def test_values_are_written_as_grafana_writes_their_units(value: float, unit: str, want: str) -> None:
    assert in_unit(value, unit) == want
