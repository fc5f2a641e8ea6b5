"""What every panel owes its reader; and the files in the chart match the source."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from headrace_dashboards.generate import as_json, dashboards, write

CHART = Path(__file__).parents[3] / "charts" / "headrace" / "dashboards"
PAGES = {name: as_json(page) for name, page in dashboards().items()}
PANELS = [(name, panel) for name, page in PAGES.items() for panel in page["panels"] if panel["type"] != "row"]


def each_panel() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("panel", [pytest.param(panel, id=f"{name}: {panel['title']}") for name, panel in PANELS])


def test_the_files_in_the_chart_are_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "of-a-dashboard-that-is-no-more.json").touch()
    write(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {file.name: file.read_text() for file in CHART.iterdir()}


@each_panel()
def test_it_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


@each_panel()
def test_its_series_have_names(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    if panel["type"] in ("timeseries", "state-timeline", "xychart"):
        assert panel["options"]["legend"]["showLegend"]


@pytest.mark.parametrize("page", [pytest.param(page, id=name) for name, page in PAGES.items()])
def test_panels_do_not_overlap_and_stay_within_the_grid(page: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in page["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        for cell in itertools.product(across, down):
            assert taken.setdefault(cell, panel["title"]) == panel["title"], cell


@pytest.mark.parametrize("page", [pytest.param(page, id=name) for name, page in PAGES.items()])
def test_ids_are_unique_and_every_variable_is_used(page: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in page["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    variables = {variable["name"] for variable in page["templating"]["list"]}
    text = json.dumps(page)
    for variable in variables:
        assert f"${variable}" in text or f"${{{variable}}}" in text


def test_uids_are_stable_because_people_link_to_them() -> None:
    assert [page["uid"] for page in PAGES.values()] == ["headrace-fleet", "headrace-job", "headrace-compare"]


def test_a_compared_curve_joins_rows_of_equal_time_and_job() -> None:
    panel = next(panel for name, panel in PANELS if name == "compare" and panel["type"] == "xychart")
    assert [step["id"] for step in panel["transformations"]] == ["merge", "partitionByValues"]
    assert panel["fieldConfig"]["overrides"][0]["matcher"] == {"id": "byName", "options": "Value #A"}
    assert panel["transformations"][1]["options"]["fields"] == ["trainingjob"]
    assert {target["format"] for target in panel["targets"]} == {"table"}
    assert all(target["expr"].startswith("max by (trainingjob)") for target in panel["targets"])
