"""The operator's own metrics, for Prometheus.

Namespace and project are the only labels whose values are not known in advance, and only gauges have them: each scrape
recounts these, so a deleted project leaves no series behind. Counters and histograms exist from the start, at 0: if a series
appeared with its first event, Prometheus would see no increase.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace_api.names import Reason, State
from headrace_api.trainingjob import TrainingJobStatus
from headrace_operator.api import ApiError
from headrace_operator.attempts import DISRUPTED
from headrace_operator.cache import Cache
from headrace_operator.clock import parse_timestamp
from headrace_operator.state import Job, Pod, ProjectKey

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WAIT_SECONDS = (1, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)
ENDS = frozenset(
    {
        Reason.REACHED_MAX_ITERATIONS,
        Reason.REACHED_MAX_TRAINING_HOURS,
        Reason.STOPPED_BY_USER,
        Reason.NODE_LOST,
        Reason.BAD_DATASET,
        Reason.BAD_MODEL,
        Reason.NO_SUCH_LAYER,
        Reason.NO_CONVERSION,
        Reason.TOO_MANY_BAD_IMAGES,
        Reason.STORAGE_REFUSED,
        Reason.STORAGE_UNAVAILABLE,
        Reason.DISK_FULL,
        Reason.LOSS_NOT_FINITE,
        Reason.OUT_OF_MEMORY,
        Reason.TRAINER_CRASHED,
        "PodVanished",
        "PodDeleted",
        "PodFailed",
        *DISRUPTED,
        # Reasons of the DisruptionTarget condition (k8s.io/api/core/v1, PodReason...).
        "PreemptionByScheduler",
        "DeletionByTaintManager",
        "EvictionByEvictionAPI",
        "DeletionByPodGC",
        "TerminationByKubelet",
    }
)
"""Reasons of an attempt's end that are counted by name. A kubelet may say any other word: that is `Other`."""
OTHER = "Other"
OVERDUE = timedelta(minutes=1)
"""How long after its grace a pod that was told to end is still taken to be ending: a kubelet's own retries are within it."""


class Metrics:
    """All metrics of one operator, in a registry of its own: several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.queue_wait = Histogram(
            "headrace_queue_wait_seconds",
            "Time from a job's creation to its first pod.",
            buckets=WAIT_SECONDS,
            registry=self.registry,
        )
        self.start_latency = Histogram(
            "headrace_start_latency_seconds",
            "Time from seeing that the project's previous attempt is over to releasing the next pod.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._attempts_ended = Counter(
            "headrace_attempts_ended_total",
            "Attempts that have ended, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._jobs_ended = Counter(
            "headrace_jobs_ended_total", "Jobs that have ended, by final state.", ["state"], registry=self.registry
        )
        self.reconcile = Histogram(
            "headrace_reconcile_seconds", "Duration of one pass over a project.", buckets=SECONDS, registry=self.registry
        )
        self.reconcile_errors = Counter(
            "headrace_reconcile_errors_total", "Failed passes, by kind of error.", ["error"], registry=self.registry
        )
        kinds: list[type[ApiError]] = [ApiError, *ApiError.__subclasses__()]
        for kind in kinds:
            self.reconcile_errors.labels(kind.__name__)
        for reason in (*sorted(ENDS), OTHER):
            self._attempts_ended.labels(reason)
        for state in State:
            if state.final:
                self._jobs_ended.labels(state)
        self.depth = Gauge("headrace_workqueue_depth", "Projects waiting for a worker.", registry=self.registry)
        self.requests = Counter(
            "headrace_api_requests_total",
            "Requests to the API server, except watches; code 0: no answer.",
            ["verb", "code"],
            registry=self.registry,
        )
        self.leader = Gauge("headrace_leader", "1 while this replica leads, 0 while it stands by.", registry=self.registry)

    def count_request(self, verb: str, code: int) -> None:
        """One request to the API server was answered, or (0) was not."""
        self.requests.labels(verb, str(code)).inc()

    def count_ends(self, old: TrainingJobStatus, new: TrainingJobStatus) -> None:
        """A status was written: counts the attempt and the job that it says are over."""
        if new.last_attempt is not None and new.last_attempt != old.last_attempt:
            reason = str(new.last_attempt.reason)
            self._attempts_ended.labels(reason if reason in ENDS else OTHER).inc()
        if new.state is not None and new.state.final and new.state != old.state:
            self._jobs_ended.labels(new.state).inc()

    def watch(self, cache: Cache, depth: Callable[[], int], leads: Callable[[], bool], now: Callable[[], datetime]) -> None:
        """Lets a scrape count the queue's keys and, while this replica leads, what the cache holds."""
        self.depth.set_function(depth)
        self.registry.register(Census(cache, leads, now))


class Census(Collector):
    """Jobs, pods and GPUs by project, counted when scraped. Standbys say nothing, so that a sum over replicas is right."""

    def __init__(self, cache: Cache, leads: Callable[[], bool], now: Callable[[], datetime]) -> None:
        self.cache = cache
        self.leads = leads
        self.now = now

    def collect(self) -> Iterable[Metric]:
        """One sample for each project that has jobs (`headrace_jobs`: one a state), or pods of jobs that are gone."""
        projects = {key: list(jobs.values()) for key, jobs in self.cache.jobs.objects.items() if jobs} if self.leads() else {}
        pods = self.cache.live_pods() if self.leads() else []
        yield _jobs(projects)
        yield _oldest_queued(projects)
        yield _last_failure(projects)
        yield _pods_lost(projects, pods, self.now())
        yield _gpus_in_use(projects, pods)


def _jobs(projects: Mapping[ProjectKey, Sequence[Job]]) -> Metric:
    family = GaugeMetricFamily("headrace_jobs", "TrainingJobs by state.", labels=["namespace", "project", "state"])
    for key, jobs in projects.items():
        tally = Tally(_state(job) for job in jobs)
        for state in State:
            family.add_metric([*key, state], tally[state])
    return family


def _oldest_queued(projects: Mapping[ProjectKey, Sequence[Job]]) -> Metric:
    family = GaugeMetricFamily(
        "headrace_oldest_queued_timestamp_seconds",
        "Unix time when the oldest job that is Queued and not suspended was created.",
        labels=["namespace", "project"],
    )
    for key, jobs in projects.items():
        queued = [job.created for job in jobs if _state(job) is State.QUEUED and not (job.spec and job.spec.suspend)]
        if queued:
            family.add_metric([*key], min(queued).timestamp())
    return family


def _last_failure(projects: Mapping[ProjectKey, Sequence[Job]]) -> Metric:
    """A time, not a count: no failure is missed before the first scrape, between two, or while no operator was there."""
    family = GaugeMetricFamily(
        "headrace_last_failure_timestamp_seconds",
        "Unix time when the last of the jobs in state Error ended.",
        labels=["namespace", "project"],
    )
    for key, jobs in projects.items():
        ends = [job.status.completion_time for job in jobs if _state(job) is State.ERROR and job.status.completion_time]
        if ends:
            family.add_metric([*key], max(map(parse_timestamp, ends)).timestamp())
    return family


def _pods_lost(projects: Mapping[ProjectKey, Sequence[Job]], pods: Iterable[Pod], now: datetime) -> Metric:
    """Pods that keep their project waiting. Their jobs' state stays Running or Starting, because we know nothing newer."""
    family = GaugeMetricFamily(
        "headrace_pods_lost",
        "Trainer pods that keep their project waiting: their node does not answer, or they are over a minute late to end.",
        labels=["namespace", "project"],
    )
    lost = Tally(dict.fromkeys(projects, 0))
    silent = {
        (key, job.status.pod)
        for key, jobs in projects.items()
        for job in jobs
        if job.status.reason is Reason.NODE_LOST and not job.over
    }
    for pod in pods:
        overdue = pod.deletion_deadline is not None and pod.deletion_deadline + OVERDUE < now
        lost[pod.key] += int(overdue or (pod.key, pod.name) in silent)
    for key, number in lost.items():
        family.add_metric([*key], number)
    return family


def _gpus_in_use(projects: Iterable[ProjectKey], pods: Iterable[Pod]) -> Metric:
    family = GaugeMetricFamily("headrace_gpus_in_use", "GPUs of trainer pods that have a node.", labels=["namespace", "project"])
    used = Tally(dict.fromkeys(projects, 0))
    for pod in pods:
        used[pod.key] += pod.gpus if pod.scheduled else 0
    for key, number in used.items():
        family.add_metric([*key], number)
    return family


def _state(job: Job) -> State:
    return job.status.state or State.QUEUED
