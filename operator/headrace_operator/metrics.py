"""What the operator says of itself, for Prometheus. No label has unbounded values."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace_api.names import State
from headrace_operator.cache import Cache

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WAIT_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)


class Metrics:
    """All metrics of one operator, in a registry of its own: several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queue_wait = Histogram(
            "headrace_queue_wait_seconds",
            "From the creation of a job to its first pod.",
            buckets=WAIT_SECONDS,
            registry=self.registry,
        )
        self.start_latency = Histogram(
            "headrace_start_latency_seconds",
            "From the operator's seeing the project's previous attempt over to the next pod let go.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.reconcile = Histogram(
            "headrace_reconcile_seconds", "Duration of one pass over a project.", buckets=SECONDS, registry=self.registry
        )
        self.reconcile_errors = Counter(
            "headrace_reconcile_errors_total", "Passes that failed, by kind of error.", ["error"], registry=self.registry
        )
        self.depth = Gauge("headrace_workqueue_depth", "Projects that wait for a worker.", registry=self.registry)
        self.requests = Counter(
            "headrace_api_requests_total",
            "Requests to the API server, watches not counted; code 0: no answer.",
            ["verb", "code"],
            registry=self.registry,
        )
        self.leader = Gauge("headrace_leader", "1 while this replica acts, 0 while it stands by.", registry=self.registry)

    def count_request(self, verb: str, code: int) -> None:
        """One request to the API server was answered, or (0) was not."""
        self.requests.labels(verb, str(code)).inc()

    def watch(self, cache: Cache, depth: Callable[[], int]) -> None:
        """Lets a scrape count the cache's jobs and the queue's keys."""
        self.depth.set_function(depth)
        self.registry.register(JobsByState(cache))


class JobsByState(Collector):
    """`headrace_jobs{state}`, counted when scraped."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def collect(self) -> Iterable[Metric]:
        tally = Tally(str(job.status.state or State.QUEUED) for jobs in self.cache.jobs.objects.values() for job in jobs.values())
        family = GaugeMetricFamily("headrace_jobs", "TrainingJobs by state.", labels=["state"])
        for state in State:
            family.add_metric([str(state)], tally[str(state)])
        yield family
