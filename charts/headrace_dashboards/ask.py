"""Asks a Prometheus what Grafana would ask: fills in a dashboard's variables and runs its panels' queries."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_SECONDS = 30
POINTS = 240
"""The most points of a curve: about what a panel of this width asks for."""
RATE_INTERVAL_SECONDS = 60
"""Stands in for `$__rate_interval`: four scrapes, 15 s apart."""


class AskError(RuntimeError):
    """Prometheus refused a query or did not answer; the message quotes the query."""


@dataclass(frozen=True)
class Series:
    """Labels and (Unix time, value) points, oldest first."""

    labels: Mapping[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Prometheus:
    """One server, and the range to look at (Unix times)."""

    url: str
    start: float
    end: float

    def series(self, expr: str, *, last: bool = False) -> list[Series]:
        """The series of an expression: over the range, or (`last`) one point at its end."""
        if last:
            found = self._get("query", {"query": expr, "time": self.end})["result"]
            return [Series(one["metric"], [_point(one["value"])]) for one in found]
        step = max(1.0, (self.end - self.start) / POINTS)
        found = self._get("query_range", {"query": expr, "start": self.start, "end": self.end, "step": step})["result"]
        return [Series(one["metric"], [_point(pair) for pair in one["values"]]) for one in found]

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values of a label among the series of a selector, sorted."""
        asked = {"match[]": selector, "start": self.start, "end": self.end}
        return sorted(self._get(f"label/{label}/values", asked))

    def _get(self, path: str, asked: Mapping[str, object]) -> Any:
        address = f"{self.url.rstrip('/')}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AskError(f"{asked}: {error.read().decode(errors='replace')}") from error
        except urllib.error.URLError as error:
            raise AskError(f"{self.url}: {error.reason}") from error


@dataclass
class Filled:
    """A dashboard (as JSON) with values for its variables."""

    page: Mapping[str, Any]
    values: dict[str, str] = field(default_factory=dict)

    def choose(self, prometheus: Prometheus, wanted: Mapping[str, str]) -> None:
        """Fills in each variable as Grafana does: with the `wanted` value, else with all values, or the first if it takes only one.

        Raises:
            AskError: a variable has no values, or lacks the wanted one.
        """
        for variable in self.page["templating"]["list"]:
            if variable["type"] != "query":
                continue
            name, text = variable["name"], self.fill(variable["query"]["query"], prometheus)
            selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", text).groups()  # type: ignore[union-attr]
            found = prometheus.label_values(label, selector)
            chosen = [value for value in found if value == wanted.get(name)] if name in wanted else found
            if not chosen:
                raise AskError(f"variable {name}: {text} has {found or 'no values'}, wanted: {wanted.get(name, 'any')}")
            self.values[name] = "|".join(map(_escaped, chosen)) if variable.get("multi") else chosen[0]

    def fill(self, text: str, prometheus: Prometheus) -> str:
        """The text with all variables replaced, including Grafana's own."""
        values = {
            **self.values,
            "__range": f"{prometheus.end - prometheus.start:.0f}s",
            "__rate_interval": f"{RATE_INTERVAL_SECONDS}s",
        }
        return re.sub(r"\$(\w+)", lambda match: values[match[1]], text)

    def panels(self) -> Iterator[Mapping[str, Any]]:
        """Panels with queries, in reading order."""
        for panel in self.page["panels"]:
            if panel["type"] != "row":
                yield panel


def _escaped(value: str) -> str:
    """Escapes a value for a regular expression in a quoted string, which doubles each backslash."""
    return re.escape(value).replace("\\", "\\\\")


def _point(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
