"""The chart's README: how to install the chart in three lines, and a table of its values."""

import json
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel

from headrace_api.environment import variable
from headrace_chart.values import ELSEWHERE, Values
from headrace_chart.values_file import is_group, plain, sections

_HEAD: Final = """\
<!-- Generated from charts/headrace_chart by `make manifests`. Change the model of the values, not this file. -->
# Headrace

Installs Headrace's operator, the TrainingJob CustomResourceDefinition and, behind flags, monitors, alerts, dashboards and
NetworkPolicies.

```console
$ make images REPOSITORY=registry.example/team       # then push both
$ helm install headrace charts/headrace --namespace headrace-system --create-namespace \\
    --set images.repository=registry.example/team
```

The chart refuses a value that it does not know or that contradicts another, and says why, before it installs anything. The guide
to upgrades, namespaced mode, Prometheus and troubleshooting is `docs/install.md` in Headrace's repository.

## Values

| value | default | meaning |
|---|---|---|
"""
_TAIL: Final = """
`operator.settings` holds the operator's own settings (`python -m headrace_operator run --help`), except these, which other values
set:

| setting | value |
|---|---|
"""


def to_markdown() -> str:
    """The whole page."""
    elsewhere = [f"| `{variable(name)}` | {place} |" for name, place in ELSEWHERE.items()]
    return _HEAD + "\n".join(_rows(Values(), "")) + "\n" + _TAIL + "\n".join(elsewhere) + "\n"


def _rows(model: BaseModel, prefix: str) -> Iterator[str]:
    for name, meaning, default in sections(model):
        if is_group(default):
            yield from _rows(default, f"{prefix}{name}.")
        else:
            shown = json.dumps(plain(default), ensure_ascii=False)
            yield f"| `{prefix}{name}` | `{shown}` | {meaning} |".replace("\\", "\\\\")
