"""Fills in variables as Grafana does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from headrace_dashboards.ask import AskError, Filled, Prometheus


@dataclass(frozen=True)
class Known(Prometheus):
    """Answers label values from a table, and keeps what it was asked."""

    table: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def label_values(self, label: str, selector: str) -> list[str]:
        self.asked.append(selector)
        return self.table[label]


def page(*variables: tuple[str, str, bool]) -> dict[str, object]:
    listed = [{"type": "query", "name": name, "query": {"query": text}, "multi": multi} for name, text, multi in variables]
    return {"templating": {"list": [{"type": "datasource", "name": "datasource"}, *listed]}, "panels": []}


def known(**table: Sequence[str]) -> Known:
    return Known("http://nowhere", 0, 90, {label: list(values) for label, values in table.items()})


CHAIN = page(("project", "label_values(jobs, project)", False), ("job", 'label_values(jobs{project="$project"}, name)', True))


def test_one_value_is_the_first_and_many_are_all() -> None:
    prometheus, filled = known(project=["a", "b"], name=["a-1", "a.2"]), Filled(CHAIN)
    filled.choose(prometheus, {})
    assert prometheus.asked == ["jobs", 'jobs{project="a"}']
    assert filled.fill('x{name=~"$job"}[$__range]', prometheus) == r'x{name=~"a\\-1|a\\.2"}[90s]'


def test_a_value_can_be_chosen() -> None:
    filled = Filled(CHAIN)
    filled.choose(known(project=["a", "b"], name=["b-1"]), {"project": "b"})
    assert filled.values == {"project": "b", "job": r"b\\-1"}


def test_a_variable_without_the_chosen_value_lists_its_values() -> None:
    with pytest.raises(AskError, match=r"variable project: .* has \['a'\], wanted: b"):
        Filled(CHAIN).choose(known(project=["a"]), {"project": "b"})


def test_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(KeyError, match="typo"):
        Filled(page()).fill("x{$typo}", known())


def test_a_missing_server_is_named() -> None:
    with pytest.raises(AskError, match=r"http://127\.0\.0\.1:9: "):
        Prometheus("http://127.0.0.1:9", 0, 1).series("up")
