"""The chart's Grafana dashboards, with their pictures and the table of metrics, which come from the same source."""
