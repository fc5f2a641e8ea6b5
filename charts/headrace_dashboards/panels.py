"""The kinds of panels that the dashboards use. Every panel has a title, a description, a unit and named series.

Units are Grafana's ids: `s`, `bytes`, `percentunit` (0 to 1), `short` (a plain number), `reqps`, `Bps`.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, timeseries, xychart
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.xychart import XYShowMode

DATASOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS: Final = 24
"""Width of a dashboard in Grafana's grid."""

AnyPanel = timeseries.Panel | stat.Panel | bargauge.Panel | statetimeline.Panel | xychart.Panel
Drawn = TypeVar("Drawn", timeseries.Panel, stat.Panel, bargauge.Panel, statetimeline.Panel, xychart.Panel)


@dataclass(frozen=True)
class Query:
    """One expression and the name of its series; `{{label}}` stands for a label's value."""

    expr: str
    legend: str
    last: bool = False
    """Query only the end of the range: an expression over `$__range` already looks back."""

    def target(self, ref_id: str, format_as: PromQueryFormat) -> prometheus.Dataquery:
        """The query in Grafana's form."""
        target = prometheus.Dataquery().expr(self.expr).legend_format(self.legend).format(format_as).ref_id(ref_id)
        return (target.instant() if self.last else target.range()).datasource(DATASOURCE)


def curves(
    title: str, description: str, unit: str, *queries: Query, width: int = 8, stacked: bool = False, zero: bool = True
) -> timeseries.Panel:
    """Values over time. With `zero`, the axis starts at 0."""
    panel = _framed(timeseries.Panel(), title, description, unit, *queries).span(width).height(8)
    panel.line_width(2).fill_opacity(40 if stacked else 5).show_points(options.VisibilityMode.AUTO).legend(_legend())
    panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if zero:
        panel.min(0)
    return panel


def figure(title: str, description: str, unit: str, query: Query, *, width: int = 4) -> stat.Panel:
    """The last value of each series, large."""
    panel = _framed(stat.Panel(), title, description, unit, query).span(width).height(4)
    return panel.graph_mode(options.BigValueGraphMode.NONE).color_mode(options.BigValueColorMode.VALUE).reduce_options(_last())


def bars(title: str, description: str, unit: str, query: Query, *, width: int = 6) -> bargauge.Panel:
    """The last value of each series, side by side."""
    panel = _framed(bargauge.Panel(), title, description, unit, query).span(width).height(8)
    return panel.orientation(options.VizOrientation.HORIZONTAL).reduce_options(_last()).min(0)


def phases(title: str, description: str, query: Query) -> statetimeline.Panel:
    """A row for each series, coloured while its value is 1."""
    panel = _framed(statetimeline.Panel(), title, description, "bool_on_off", query).span(COLUMNS).height(6)
    words = {"1": model.ValueMappingResult(text="now", color="green"), "0": model.ValueMappingResult(text="", color="transparent")}
    return panel.mappings([model.ValueMap(words)]).legend(_legend()).show_value(options.VisibilityMode.NEVER)


@dataclass(frozen=True)
class Axis:
    """The x axis of a panel: its query, name and unit."""

    query: Query
    name: str
    unit: str


def against(title: str, description: str, unit: str, query: Query, *, x: Axis) -> xychart.Panel:
    """Values over something other than time, for any number of jobs.

    Both queries return one series per `trainingjob`. Grafana merges their tables into rows (time, job, x, y), then splits them by
    job; XY chart draws one line per job, over its first number.
    """
    panel = _framed(xychart.Panel(), title, description, unit, x.query, query, table=True).span(COLUMNS // 2).height(9)
    panel.transformations(
        [
            model.DataTransformerConfig("merge", options={}),
            model.DataTransformerConfig(
                "partitionByValues", options={"fields": ["trainingjob"], "keepFields": False, "naming": {"asLabels": True}}
            ),
        ]
    )
    # The merged table calls the first query "Value #A". A renaming step would change only how it looks, not its name.
    panel.override_by_name("Value #A", [model.DynamicConfigValue("unit", x.unit), model.DynamicConfigValue("displayName", x.name)])
    return panel.show(XYShowMode.LINES).display_name("${__field.labels.trainingjob}").legend(_legend())


def row(title: str) -> dashboard.Row:
    """A heading."""
    return dashboard.Row(title)


def _framed(panel: Drawn, title: str, description: str, unit: str, *queries: Query, table: bool = False) -> Drawn:
    panel.title(title).description(description).unit(unit).datasource(DATASOURCE)
    format_as = PromQueryFormat.TABLE if table else PromQueryFormat.TIME_SERIES
    panel.targets([query.target(ref_id, format_as) for ref_id, query in zip("ABCDEF", queries, strict=False)])
    return panel


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(options.LegendDisplayMode.LIST).placement(options.LegendPlacement.BOTTOM)
    return legend.show_legend(True).calcs([])


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
