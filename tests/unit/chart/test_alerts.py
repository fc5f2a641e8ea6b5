"""The PrometheusRule's alerts in Prometheus' own engine: `alerts.yaml` says which series fire which alerts."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_dashboards import examples
from headrace_dashboards.metrics_page import families, metrics_in
from headrace_testing.charts import MATRIX, Helm, of_kind

CASES = Path(__file__).parent / "alerts.yaml"


@pytest.fixture(scope="module")
def rules(helm: Helm) -> dict[str, Any]:
    (rule,) = of_kind(helm.render(MATRIX["monitored"]), "PrometheusRule")
    spec: dict[str, Any] = rule["spec"]
    return spec


def test_each_alert_fires_when_it_should_and_only_then(rules: dict[str, Any], promtool: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    shutil.copy(CASES, tmp_path)
    ended = subprocess.run([promtool, "test", "rules", CASES.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_has_a_case_in_which_it_fires(rules: dict[str, Any]) -> None:
    checks = [check for case in yaml.safe_load(CASES.read_text())["tests"] for check in case["alert_rule_test"]]
    firing = {check["alertname"] for check in checks if check["exp_alerts"]}
    assert firing == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}


def test_alerts_look_at_metrics_that_are_exported(rules: dict[str, Any]) -> None:
    exported = {family.name for registry in (examples.operator(), examples.trainer()) for family in families(registry)}
    used = {name for group in rules["groups"] for rule in group["rules"] for name in metrics_in(rule["expr"])}
    assert len(used) >= 5
    assert used <= exported
