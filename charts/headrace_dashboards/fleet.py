"""Fleet: how all projects do, and the operator itself."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from headrace_dashboards.frame import Part, many, page
from headrace_dashboards.panels import Query, curves, figure, row

HERE = 'namespace=~"$namespace",project=~"$project"'
OPERATOR = "and on (instance) headrace_leader"
"""Narrows metrics that every process has down to those of operators, whatever the scrape calls them."""


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
            "TrainingJobs by state. Those that are over count until they are deleted.",
            "short",
            Query(f"sum by (state) (headrace_jobs{{{HERE}}})", "{{state}}"),
            width=12,
        ),
        figure(
            "GPUs in use",
            "GPUs that pods of trainers hold on nodes, those that still end included.",
            "short",
            Query(f"sum(headrace_gpus_in_use{{{HERE}}})", "GPUs"),
        ),
        figure(
            "Leaders",
            "Operators that act. 1 is right; 0: nothing is started or counted; 2 for seconds, while one takes over.",
            "short",
            Query("sum(headrace_leader)", "leading"),
        ),
        figure(
            "Operators",
            "Replicas of the operator that answer Prometheus, standbys included.",
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
            "TrainingJobs that are not over, by state.",
            "short",
            Query(f'sum by (state) (headrace_jobs{{{HERE},state=~"Queued|Starting|Running"}})', "{{state}}"),
            stacked=True,
        ),
        curves(
            "Jobs by project",
            "TrainingJobs that are not over. One of a project runs, the others wait behind it.",
            "short",
            Query(
                f'sum by (namespace, project) (headrace_jobs{{{HERE},state=~"Queued|Starting|Running"}})',
                "{{namespace}}/{{project}}",
            ),
            stacked=True,
        ),
        curves(
            "GPUs in use by project",
            "GPUs that pods of trainers hold on nodes. A project holds those of one job at a time.",
            "short",
            Query(f"sum by (namespace, project) (headrace_gpus_in_use{{{HERE}}})", "{{namespace}}/{{project}}"),
            stacked=True,
        ),
        curves(
            "Longest wait now",
            "Age of the oldest job that is Queued and not paused. A trouble only when nothing of the project runs.",
            "s",
            Query(f"time() - headrace_oldest_queued_timestamp_seconds{{{HERE}}}", "{{namespace}}/{{project}}"),
        ),
        curves(
            "Failed jobs",
            "Jobs in state Error, by project, until they are deleted.",
            "short",
            Query(f'sum by (namespace, project) (headrace_jobs{{{HERE},state="Error"}})', "{{namespace}}/{{project}}"),
        ),
        curves(
            "Ends of attempts",
            "Attempts that were over within the last hour, by reason. All projects.",
            "short",
            Query("sum by (reason) (increase(headrace_attempts_ended_total[1h])) > 0", "{{reason}}"),
            stacked=True,
        ),
        curves(
            "Ends of jobs",
            "Jobs that were over within the last hour, by final state. All projects.",
            "short",
            Query("sum by (state) (increase(headrace_jobs_ended_total[1h]))", "{{state}}"),
            stacked=True,
        ),
        curves(
            "Wait for the first pod",
            "From a job's creation to its first pod, of the jobs of the last hour that got one. All projects.",
            "s",
            *_quantiles("headrace_queue_wait_seconds", "1h", 0.5, 0.95),
        ),
        curves(
            "Start latency",
            "From seeing a project's attempt over to letting its next pod go, within the last hour. All projects.",
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
            "How long a pass over one project takes, requests included.",
            "s",
            *_quantiles("headrace_reconcile_seconds", "$__rate_interval", 0.5, 0.99),
        ),
        curves(
            "Passes",
            "Passes over projects, a second.",
            "ops",
            Query("sum(rate(headrace_reconcile_seconds_count[$__rate_interval]))", "passes"),
        ),
        curves(
            "Passes that failed",
            "Within the last hour, by kind of error. Conflicts are no failures; each pass is repeated after a pause.",
            "short",
            Query("sum by (error) (increase(headrace_reconcile_errors_total[1h]))", "{{error}}"),
        ),
        curves(
            "Requests to the API server",
            "By verb and answer, watches not counted; code 0: no answer.",
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
