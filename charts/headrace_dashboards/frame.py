"""What all dashboards share: variables, links to each other, time range."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from headrace_dashboards.panels import DATASOURCE, AnyPanel

TAG: Final = "headrace"

Part = list[AnyPanel | dashboard.Row]
"""Panels and headings."""


def page(
    name: str,
    description: str,
    variables: Sequence[dashboard.QueryVariable],
    content: Part,
    hours: int,
) -> model.Dashboard:
    """A dashboard: `name` becomes its title and its stable uid; it opens on the last `hours`."""
    builder = dashboard.Dashboard(f"Headrace / {name}").uid(f"headrace-{name.lower()}").description(description).tags([TAG])
    builder.tooltip(model.DashboardCursorSync.CROSSHAIR).refresh("30s").time(f"now-{hours}h", "now").timezone("browser").editable()
    builder.link(
        dashboard.DashboardLink("Headrace").type(model.DashboardLinkType.DASHBOARDS).tags([TAG]).include_vars(True).keep_time(True)
    )
    builder.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for variable in variables:
        builder.with_variable(variable)
    for number, part in enumerate(content, 1):  # explicit numbers: links refer to a panel by its id
        if isinstance(part, dashboard.Row):
            builder.with_row(part.id(number))
        else:
            builder.with_panel(part.id(number))
    return builder.build()


def one(name: str, label: str, values: str) -> dashboard.QueryVariable:
    """A variable with one of the values of `label_values(...)`."""
    query: dict[str, object] = {"query": values, "refId": name}
    variable = dashboard.QueryVariable(name).label(label).query(query).datasource(DATASOURCE)
    return variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)


def many(name: str, label: str, values: str) -> dashboard.QueryVariable:
    """A variable with any number of values; all by default."""
    everything = model.VariableOption(text="All", value="$__all", selected=True)
    return one(name, label, values).multi(True).include_all(True).all_value(".*").current(everything)
