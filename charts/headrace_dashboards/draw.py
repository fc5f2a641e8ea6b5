"""Draws a dashboard with matplotlib, from the data of a Prometheus: its panels and queries, not Grafana's looks."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from headrace_dashboards.ask import Filled, Prometheus, Series
from headrace_dashboards.panels import COLUMNS

CELL_INCHES: Final = (0.62, 0.32)
"""Width and height of a cell of Grafana's grid."""
GAP_INCHES: Final = (0.75, 0.62, 0.15, 0.42)
"""Space at the left, bottom, right and top of a panel for its axis, legend and title."""
LEGEND_ROWS: Final = 2
LEGEND_COLUMNS: Final = 4
"""The most columns; fewer if names are long."""
KEY_INCHES: Final = 0.5
LETTER_INCHES: Final = 0.047
"""Width of a legend's entry: the part before its name, and each letter of the name."""
SECONDS_A_DAY: Final = 86_400
"""Matplotlib counts time in days (from 1970 on, in UTC)."""
STYLE: Final[dict[Any, Any]] = {
    "figure.facecolor": "#111217",
    "axes.facecolor": "#181b1f",
    "axes.edgecolor": "#3a3d44",
    "axes.grid": True,
    "grid.color": "#2c3235",
    "text.color": "#d8d9da",
    "axes.labelcolor": "#9fa7b3",
    "xtick.color": "#9fa7b3",
    "ytick.color": "#9fa7b3",
    "font.size": 7,
    "axes.prop_cycle": cycler(color=["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#96d98d"]),
}

Named = list[tuple[str, Series]]


def draw(filled: Filled, prometheus: Prometheus, path: Path) -> list[str]:
    """Writes the picture. Returns the titles of panels without data."""
    empty = []
    with mpl.rc_context(STYLE):
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in filled.page["panels"])
        picture = Figure(figsize=(COLUMNS * CELL_INCHES[0], rows * CELL_INCHES[1]), dpi=110)
        for panel in filled.page["panels"]:
            if panel["type"] == "row":
                _heading(picture, panel, rows)
                continue
            axes = _place(picture, panel, rows)
            axes.set_title(filled.fill(panel["title"], prometheus), loc="left", fontsize=8, fontweight="bold")
            found = [_named(target, filled, prometheus) for target in panel["targets"]]
            if not any(found):
                empty.append(panel["title"])
                axes.set_axis_off()
                axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)
                continue
            PAINTERS[panel["type"]](axes, panel, found)
        picture.savefig(path)
    return empty


def _named(target: Mapping[str, Any], filled: Filled, prometheus: Prometheus) -> Named:
    series = prometheus.series(filled.fill(target["expr"], prometheus), last=target.get("instant", False))
    named = [(_legend(target["legendFormat"], one.labels), one) for one in series]
    return sorted(named, key=lambda pair: pair[0])


def _legend(text: str, labels: Mapping[str, str]) -> str:
    for label, value in labels.items():
        text = text.replace(f"{{{{{label}}}}}", value)
    return text


def _place(picture: Figure, panel: Mapping[str, Any], rows: int) -> Axes:
    place, (wide, high), (left, bottom, right, top) = panel["gridPos"], CELL_INCHES, GAP_INCHES
    width, height = COLUMNS * wide, rows * high
    x, y = place["x"] * wide + left, (rows - place["y"] - place["h"]) * high + bottom
    size = place["w"] * wide - left - right, place["h"] * high - bottom - top
    return picture.add_axes((x / width, y / height, size[0] / width, size[1] / height))


def _heading(picture: Figure, panel: Mapping[str, Any], rows: int) -> None:
    picture.text(0.006, 1 - (panel["gridPos"]["y"] + 0.5) / rows, panel["title"], fontsize=10, fontweight="bold", va="center")


# --- A function for each type of panel ----------------------------------------------------------------------------


def _curves(axes: Axes, panel: Mapping[str, Any], found: Sequence[Named]) -> None:
    named = [pair for query in found for pair in query]
    settings = panel["fieldConfig"]["defaults"]
    stacked = (settings.get("custom", {}).get("stacking") or {}).get("mode") == "normal"
    if stacked:
        _stack(axes, named)
    else:
        for name, series in named:
            axes.plot(*_gapped(series), label=name, linewidth=1.2, marker="." if len(series.points) < 3 else None)
    if settings.get("min") == 0:
        axes.set_ylim(bottom=0, top=1 if _all_zero(named) else 1.05 * axes.get_ylim()[1])
    _time_axis(axes)
    _value_axis(axes, settings["unit"])
    _legend_below(axes)


def _all_zero(named: Named) -> bool:
    return all(value == 0 for _, series in named for _, value in series.points)


def _stack(axes: Axes, named: Named) -> None:
    times = sorted({time for _, series in named for time, _ in series.points})
    heights = []
    for _, series in named:
        values = {time: value for time, value in series.points if math.isfinite(value)}
        heights.append([values.get(time, 0.0) for time in times])
    axes.stackplot([_days(time) for time in times], heights, labels=[name for name, _ in named], alpha=0.6)


def _gapped(series: Series) -> tuple[list[float], list[float]]:
    """Times and values with a gap where the series is missing for more than a step, as Grafana shows it."""
    times: list[float] = []
    values: list[float] = []
    points = series.points
    usual = min((after - before for (before, _), (after, _) in itertools.pairwise(points)), default=0.0)
    for number, (time, height) in enumerate(points):
        if number and time - points[number - 1][0] > 1.5 * usual:
            times.append(_days(points[number - 1][0] + usual))
            values.append(math.nan)
        times.append(_days(time))
        values.append(height)
    return times, values


def _figure(axes: Axes, panel: Mapping[str, Any], found: Sequence[Named]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.set_axis_off()
    named = found[0]
    for number, (name, series) in enumerate(named):
        x = (number + 0.5) / len(named)
        text = in_unit(series.points[-1][1], unit)
        axes.text(x, 0.55, text, ha="center", va="center", fontsize=15, color="#73bf69", transform=axes.transAxes)
        axes.text(x, 0.0, name, ha="center", va="center", transform=axes.transAxes)


def _bars(axes: Axes, panel: Mapping[str, Any], found: Sequence[Named]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    names, values = [name for name, _ in found[0]], [series.points[-1][1] for _, series in found[0]]
    drawn = axes.barh(names, values, color="#5794f2", height=0.5)
    axes.bar_label(drawn, labels=[in_unit(value, unit) for value in values], padding=2)
    axes.set_xlim(right=1.25 * max(values) or 1)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.grid(visible=False)


def _phases(axes: Axes, _panel: Mapping[str, Any], found: Sequence[Named]) -> None:
    for number, (_, series) in enumerate(found[0]):
        for (time, value), (after, _) in itertools.pairwise(series.points):
            if value == 1:
                axes.barh(number, _days(after - time), left=_days(time), color="#73bf69", height=0.7)
    axes.set_yticks(range(len(found[0])), [name for name, _ in found[0]])
    axes.invert_yaxis()
    _time_axis(axes)


def _against(axes: Axes, panel: Mapping[str, Any], found: Sequence[Named]) -> None:
    xs = {name: dict(series.points) for name, series in found[0]}
    for name, series in found[1]:
        pairs = [(xs[name][time], value) for time, value in series.points if time in xs.get(name, {})]
        axes.plot([x for x, _ in pairs], [y for _, y in pairs], label=name, linewidth=1.2)
    override = panel["fieldConfig"]["overrides"][0]
    properties = {one["id"]: one["value"] for one in override["properties"]}
    axes.set_xlabel(properties["displayName"], labelpad=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_unit(value, properties["unit"])))
    _value_axis(axes, panel["fieldConfig"]["defaults"]["unit"])
    _legend_below(axes)


PAINTERS: Final[Mapping[str, Callable[[Axes, Mapping[str, Any], Sequence[Named]], None]]] = {
    "timeseries": _curves,
    "stat": _figure,
    "bargauge": _bars,
    "state-timeline": _phases,
    "xychart": _against,
}


def _days(seconds: float) -> float:
    return seconds / SECONDS_A_DAY


def _time_axis(axes: Axes) -> None:
    axes.xaxis_date()
    from_day, to_day = axes.get_xlim()
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S" if (to_day - from_day) * SECONDS_A_DAY < 1200 else "%H:%M"))


def _value_axis(axes: Axes, unit: str) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_unit(value, unit)))


def _legend_below(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    picture = axes.get_figure(root=True)
    assert picture is not None
    width = axes.get_position().width * picture.get_figwidth()
    longest = max(map(len, labels), default=0)
    columns = max(1, min(LEGEND_COLUMNS, int(width / (KEY_INCHES + LETTER_INCHES * longest))))
    named = labels[: LEGEND_ROWS * columns]
    if len(labels) > len(named):
        named[-1] += f"  … {len(labels) - len(named)} more"
    place = (-0.02, -0.26 if axes.get_xlabel() else -0.16)
    keys = handles[: len(named)]
    axes.legend(keys, named, loc="upper left", bbox_to_anchor=place, ncols=columns, frameon=False, fontsize=6)


def in_unit(value: float, unit: str) -> str:
    """A value as Grafana would write it in this unit: 90 s → `1.5 min`, 0.25 percentunit → `25%`."""
    match unit:
        case "percentunit":
            return f"{100 * value:.3g}%"
        case "s":
            return _scaled(value, [(86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")])
        case "bytes" | "Bps":
            tail = "/s" if unit == "Bps" else ""
            return _scaled(value, [(2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]) + tail
        case _:
            tail = {"reqps": " req/s", "ops": " /s"}.get(unit, "")
            big = [(1e9, "G"), (1e6, "M"), (1e3, "k")] if abs(value) >= 1e4 else []
            return _scaled(value, [*big, (1, "")], gap="") + tail


def _scaled(value: float, sizes: Sequence[tuple[float, str]], gap: str = " ") -> str:
    """The value in the largest size that leaves at least 1, else in the smallest."""
    if not math.isfinite(value) or value == 0:
        return f"{value:.3g}"
    size, name = next((pair for pair in sizes if abs(value) >= pair[0]), sizes[-1])
    return f"{value / size:.{3 if abs(value / size) < 1000 else 4}g}{gap}{name}"
