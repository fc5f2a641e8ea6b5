"""The Grafana dashboards of the chart, and all that is made from the same source: their pictures and the table of metrics."""
