"""Fleet: how all projects and the operator itself are doing."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from headrace_dashboards.frame import Part, many, page
from headrace_dashboards.panels import Query, curves, figure, row

HERE = 'namespace=~"$namespace",project=~"$project"'
OPERATOR = "and on (instance) headrace_leader"
"""Narrows metrics that every process has to those of operators, whatever the scrape calls them."""


def fleet() -> Dashboard:
    """The dashboard."""
    return page(
        "Fleet",
        "Jobs, queues and GPUs of all projects, and the health of the operator.",
        [
            many("namespace", "Namespace", "label_values(headrace_jobs, namespace)"),
            many("project", "Project", 'label_values(headrace_jobs{namespace=~"$namespace"}, project)'),
        ],
        [*_now(), *_jobs(), *_operator()],
        hours=6,
    )


def _now() -> Part:
    """Large figures."""
    return [
        figure(
            "Jobs now",
            "TrainingJobs by state. Finished jobs count until you delete them.",
            "short",
            Query(f"sum by (state) (headrace_jobs{{{HERE}}})", "{{state}}"),
            width=12,
        ),
        figure(
            "GPUs in use",
            "GPUs that trainer pods hold on nodes, including pods that are still ending.",
            "short",
            Query(f"sum(headrace_gpus_in_use{{{HERE}}})", "GPUs"),
        ),
        figure(
            "Leaders",
            "Operators that act. It should be 1. 0: no job is started or counted; 2, for a few seconds: one is taking over.",
            "short",
            Query("sum(headrace_leader)", "leading"),
        ),
        figure(
            "Operators",
            "Replicas of the operator that answer Prometheus, including standbys.",
            "short",
            Query("count(headrace_leader)", "replicas"),
        ),
    ]


def _jobs() -> Part:
    """Jobs, queues and GPUs over time."""
    return [
        row("Jobs"),
        curves(
            "Jobs by state",
            "Unfinished TrainingJobs, by state.",
            "short",
            Query(f'sum by (state) (headrace_jobs{{{HERE},state=~"Queued|Starting|Running"}})', "{{state}}"),
            stacked=True,
        ),
        curves(
            "Jobs by project",
            "Unfinished TrainingJobs. One job of each project runs; the others wait behind it.",
            "short",
            Query(
                f'sum by (namespace, project) (headrace_jobs{{{HERE},state=~"Queued|Starting|Running"}})',
                "{{namespace}}/{{project}}",
            ),
            stacked=True,
        ),
        curves(
            "GPUs in use by project",
            "GPUs that trainer pods hold on nodes. A project holds GPUs for one job at a time.",
            "short",
            Query(f"sum by (namespace, project) (headrace_gpus_in_use{{{HERE}}})", "{{namespace}}/{{project}}"),
            stacked=True,
        ),
        curves(
            "Longest wait now",
            "Age of the oldest job that is Queued and not paused. This is a problem only if no job of the project is running.",
            "s",
            Query(f"time() - headrace_oldest_queued_timestamp_seconds{{{HERE}}}", "{{namespace}}/{{project}}"),
        ),
        curves(
            "Failed jobs",
            "Jobs in state Error, by project. They count until you delete them.",
            "short",
            Query(f'sum by (namespace, project) (headrace_jobs{{{HERE},state="Error"}})', "{{namespace}}/{{project}}"),
        ),
        curves(
            "Ends of attempts",
            "Attempts that ended within the last hour, by reason, over all projects.",
            "short",
            Query("sum by (reason) (increase(headrace_attempts_ended_total[1h])) > 0", "{{reason}}"),
            stacked=True,
        ),
        curves(
            "Ends of jobs",
            "Jobs that ended within the last hour, by final state, over all projects.",
            "short",
            Query("sum by (state) (increase(headrace_jobs_ended_total[1h]))", "{{state}}"),
            stacked=True,
        ),
        curves(
            "Wait for the first pod",
            "From a job's creation to its first pod, for jobs of all projects that got it in the last hour.",
            "s",
            *_quantiles("headrace_queue_wait_seconds", "1h", 0.5, 0.95),
        ),
        curves(
            "Start latency",
            "From noticing that a project's attempt ended to releasing its next pod, within the last hour, over all projects.",
            "s",
            *_quantiles("headrace_start_latency_seconds", "1h", 0.5, 0.95),
        ),
    ]


def _operator() -> Part:
    """The operator's health."""
    return [
        row("Operator"),
        curves(
            "Duration of a pass",
            "How long a pass over one project takes, including requests.",
            "s",
            *_quantiles("headrace_reconcile_seconds", "$__rate_interval", 0.5, 0.99),
        ),
        curves(
            "Passes",
            "Passes over projects, per second.",
            "ops",
            Query("sum(rate(headrace_reconcile_seconds_count[$__rate_interval]))", "passes"),
        ),
        curves(
            "Passes that failed",
            "Failures within the last hour, by kind of error, without conflicts. The operator repeats each pass after a pause.",
            "short",
            Query("sum by (error) (increase(headrace_reconcile_errors_total[1h]))", "{{error}}"),
        ),
        curves(
            "Requests to the API server",
            "Requests by verb and answer, without watches; code 0 means no answer.",
            "reqps",
            Query("sum by (verb, code) (rate(headrace_api_requests_total[$__rate_interval]))", "{{verb}} {{code}}"),
        ),
        curves(
            "Projects that wait for a worker",
            "Depth of the work queue. It should return to 0 within seconds.",
            "short",
            Query("headrace_workqueue_depth", "{{instance}}"),
        ),
        curves(
            "Memory of the operator",
            "Resident memory of its process.",
            "bytes",
            Query(f"process_resident_memory_bytes {OPERATOR}", "{{instance}}"),
        ),
        curves(
            "CPU of the operator",
            "Cores that its process uses.",
            "short",
            Query(f"rate(process_cpu_seconds_total[$__rate_interval]) {OPERATOR}", "{{instance}}"),
        ),
    ]


def _quantiles(histogram: str, window: str, *shares: float) -> list[Query]:
    return [
        Query(f"histogram_quantile({share}, sum by (le) (increase({histogram}_bucket[{window}])))", f"p{100 * share:.0f}")
        for share in shares
    ]
