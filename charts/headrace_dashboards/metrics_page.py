"""docs/metrics.md: every metric, its meaning, and the panels that show it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from headrace_dashboards import examples
from headrace_dashboards.ask import Filled
from headrace_dashboards.generate import as_json, dashboards

NOT_SHOWN: Final = {
    "headrace_last_failure_timestamp_seconds": "for the alert HeadraceJobFailed; the panel Failed jobs shows how many",
    "headrace_pods_lost": "for the alert HeadracePodLost",
    "headrace_trainer_dataset_files": "bytes tell more",
    "headrace_trainer_dataset_pulled_files": "bytes tell more",
    "headrace_trainer_uploads": "bytes tell more",
    "process_start_time_seconds": "kubectl shows a pod's age",
    "headrace_trainer_loss_weight": "exists only if weights are learnt",
    "process_virtual_memory_bytes": "says little about memory in use",
    "process_open_fds": "for troubleshooting",
    "process_max_fds": "a setting of the node",
}
"""Metrics that no panel needs, and why."""
_SUFFIXES = ("_total", "_bucket", "_sum", "_count")

_HEADER = """<!-- Generated from the programs' registries by `make manifests`. Change the code, not this file. -->
# Metrics

The operator serves `/metrics` on port 8081, each trainer on port 8080. The chart's ServiceMonitor and PodMonitor scrape both. They
add the labels `namespace`, `pod`, `project` and `trainingjob` to a trainer's metrics (from its pod's labels `headrace.dev/project`
and `headrace.dev/job`). In the operator's metrics, `namespace` is the job's namespace, so the scrape needs `honorLabels: true`.

A gauge that a trainer has not measured yet is absent, not 0. Only the leading operator exports gauges about jobs.
"""


@dataclass(frozen=True)
class Family:
    """A metric as a registry describes it. `name` lacks the suffix `_total`."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]

    @property
    def exposed(self) -> str:
        """The name people query."""
        return self.name + "_total" * (self.kind == "counter")


def families(registry: CollectorRegistry) -> list[Family]:
    """The metrics of a registry, sorted by name."""
    found = []
    for metric in registry.collect():
        labels = dict.fromkeys(label for sample in metric.samples for label in sample.labels if label != "le")
        found.append(Family(metric.name, metric.type, metric.documentation, tuple(labels)))
    return sorted(found, key=lambda family: family.name)


def shown() -> dict[str, list[str]]:
    """The panels ("Fleet: Jobs now") that each metric is used in, by the metric's name without suffix."""
    places: dict[str, dict[str, None]] = {}
    for name, page in dashboards().items():
        for panel in Filled(as_json(page)).panels():
            place = f"{name.capitalize()}: {panel['title']}"
            for metric in {metric for target in panel["targets"] for metric in metrics_in(target["expr"])}:
                places.setdefault(metric, {})[place] = None
    return {metric: list(found) for metric, found in places.items()}


def metrics_in(expr: str) -> Iterator[str]:
    """The names of the metrics in an expression, without the suffixes of their samples."""
    for name in re.findall(r"\b(?:headrace|process)_\w+", expr):
        yield next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)


def to_markdown() -> str:
    """The whole page."""
    places = shown()
    parts = [_HEADER]
    for title, registry in (("Operator", examples.operator()), ("Trainer", examples.trainer())):
        parts += [f"## {title}\n", "| metric | type | labels | meaning | shown |\n|---|---|---|---|---|"]
        for family in families(registry):
            where = "; ".join(places.get(family.name, ())) or f"no: {NOT_SHOWN[family.name]}"
            labels = ", ".join(f"`{label}`" for label in family.labels)
            parts.append(f"| `{family.exposed}` | {family.kind} | {labels} | {family.text} | {where} |")
        parts.append("")
    return "\n".join(parts)
