"""The dashboards as Grafana imports them."""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from headrace_dashboards.compare import compare
from headrace_dashboards.fleet import fleet
from headrace_dashboards.job import job


def dashboards() -> dict[str, Dashboard]:
    """All dashboards, by file name."""
    return {"fleet": fleet(), "job": job(), "compare": compare()}


def as_json(page: Dashboard) -> dict[str, Any]:
    """The dashboard as plain JSON values."""
    document: dict[str, Any] = json.loads(json.dumps(page, cls=JSONEncoder))
    return document


def write(folder: Path) -> None:
    """Writes `<name>.json` for each dashboard, and removes the files of dashboards that no longer exist."""
    pages = dashboards()
    for old in folder.glob("*.json"):
        if old.stem not in pages:
            old.unlink()
    for name, page in pages.items():
        (folder / f"{name}.json").write_text(json.dumps(as_json(page), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
