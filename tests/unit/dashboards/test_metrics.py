"""Every metric is shown or listed as not shown, has a conventional name, and every query finds what the programs emit."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from headrace_dashboards import examples
from headrace_dashboards.ask import Filled, Prometheus
from headrace_dashboards.generate import as_json, dashboards
from headrace_dashboards.metrics_page import NOT_SHOWN, families, metrics_in, shown, to_markdown

REGISTRIES = {"operator": examples.operator(), "trainer": examples.trainer()}
EMITTED = {family.name for registry in REGISTRIES.values() for family in families(registry)}
DOCS = Path(__file__).parents[3] / "docs"
SCRAPED = {  # labels that the chart's ServiceMonitor and PodMonitor add to a scrape
    "operator": {"instance": "10.0.0.1:8081", "pod": "headrace-operator-0", "namespace": "headrace-system"},
    "trainer": {
        "instance": "10.0.0.2:8080",
        "pod": "street-2-1",
        "namespace": examples.NAMESPACE,
        "project": examples.PROJECT,
        "trainingjob": examples.JOB,
    },
}
CHOSEN = {
    "namespace": examples.NAMESPACE,
    "project": examples.PROJECT,
    "job": examples.JOB,
    "head": "boxes",
    "term": "class",
    "score_head": "boxes",
    "score": "AP",
}
MINUTES = 60


def test_every_metric_is_shown_or_listed_as_not_shown() -> None:
    assert EMITTED - set(shown()) == set(NOT_SHOWN)


def test_every_metric_shown_is_emitted() -> None:
    assert set(shown()) - EMITTED == set()


def test_the_page_of_metrics_is_up_to_date() -> None:
    assert (DOCS / "metrics.md").read_text() == to_markdown()


def test_names_of_samples_lead_to_their_metric() -> None:
    expr = "rate(headrace_a_seconds_bucket[1m]) / headrace_b_total + process_c_bytes"
    assert list(metrics_in(expr)) == ["headrace_a_seconds", "headrace_b", "process_c_bytes"]


@pytest.mark.parametrize("program", REGISTRIES)
def test_names_follow_the_conventions(program: str, promtool: Path) -> None:
    assert complaints(promtool, generate_latest(REGISTRIES[program])) == ""


def test_a_name_against_the_conventions_is_found(promtool: Path) -> None:
    text = b"# HELP waits Waits.\n# TYPE waits counter\nwaits 1\n"
    assert complaints(promtool, text) == 'waits counter metrics should have "_total" suffix\n'


def complaints(promtool: Path, text: bytes) -> str:
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    return (checked.stdout + checked.stderr).decode()


def test_every_query_finds_what_the_programs_emit(tmp_path: Path, promtool: Path) -> None:
    """Prometheus' engine runs each expression on an hour of samples from real registries."""
    queries = dict(each_query())
    assert len(queries) > 50
    unmet = run_rules(promtool, tmp_path, list(queries.values()))
    assert [place for place, expr in queries.items() if expr in unmet] == []


def test_queries_that_find_nothing_are_found(tmp_path: Path, promtool: Path) -> None:
    nothing = ["headrace_jbos", 'headrace_jobs{state="Runing"}']
    assert run_rules(promtool, tmp_path, ["headrace_jobs", *nothing]) == nothing


def test_a_query_that_cannot_be_parsed_fails(tmp_path: Path, promtool: Path) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        run_rules(promtool, tmp_path, ["headrace_jobs", "rate(headrace_jobs"])


def each_query() -> Iterator[tuple[str, str]]:
    hour = Prometheus("http://not-asked", 0, 60.0 * MINUTES)
    for name, page in dashboards().items():
        filled = Filled(as_json(page), CHOSEN)
        for panel in filled.panels():
            for target in panel["targets"]:
                yield f"{name}: {panel['title']} {target['refId']}", filled.fill(target["expr"], hour)


def run_rules(promtool: Path, folder: Path, exprs: list[str]) -> list[str]:
    """The expressions that find nothing."""
    (folder / "rules.yml").write_text("groups: []\n")
    series = [one for program, registry in REGISTRIES.items() for one in input_series(registry, SCRAPED[program])]
    counted = {expr: f"count({expr}) > bool 0" for expr in exprs}
    asked = [{"expr": text, "eval_time": f"{MINUTES}m", "exp_samples": [{"labels": "{}", "value": 1}]} for text in counted.values()]
    document = {"rule_files": ["rules.yml"], "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": asked}]}
    (folder / "test.yml").write_text(json.dumps(document))  # JSON is YAML
    ran = subprocess.run([promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False)
    unmet = [expr for expr, text in counted.items() if f"expr: {json.dumps(text)}" in ran.stderr]
    assert bool(unmet) == bool(ran.returncode), ran.stdout + ran.stderr
    assert "parse error" not in ran.stderr, ran.stderr
    return unmet


def input_series(registry: CollectorRegistry, scraped: dict[str, str]) -> Iterator[dict[str, Any]]:
    """An hour of each sample: counters, histograms and iterations grow, the others stay constant."""
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name.endswith("_created"):
                continue
            labels = ",".join(f'{label}="{value}"' for label, value in (scraped | sample.labels).items())
            grows = metric.type in ("counter", "histogram") or sample.name == "headrace_trainer_iteration"
            yield {"series": f"{sample.name}{{{labels}}}", "values": f"{sample.value:f}+{int(grows)}x{MINUTES * 4}"}
