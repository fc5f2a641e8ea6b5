"""What a scrape of the operator shows."""

import pytest
from prometheus_client import generate_latest

from headrace_api import names
from headrace_api.names import Reason, State
from headrace_api.trainingjob import LastAttempt, TrainingJobStatus
from headrace_operator.cache import Cache
from headrace_operator.metrics import OTHER, Metrics
from headrace_testing.builders import JobBuilder, PodBuilder, make_job, make_pod, seconds


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def ended(reason: str, state: State = State.QUEUED, number: int = 1) -> TrainingJobStatus:
    last = LastAttempt(number=number, reason=reason, charged=True, finished_time="2026-01-01T00:00:00Z")
    return TrainingJobStatus(state=state, last_attempt=last)


def test_counters_exist_before_anything_happens() -> None:
    metrics = Metrics()
    assert value(metrics, "headrace_attempts_ended_total", reason="OutOfMemory") == 0
    assert value(metrics, "headrace_jobs_ended_total", state="Error") == 0
    assert value(metrics, "headrace_reconcile_errors_total", error="ForbiddenError") == 0


def test_an_attempt_is_counted_once() -> None:
    metrics = Metrics()
    status = ended(Reason.OUT_OF_MEMORY)
    metrics.count_ends(TrainingJobStatus(), status)
    metrics.count_ends(status, status.model_copy(update={"message": "again"}))
    assert value(metrics, "headrace_attempts_ended_total", reason="OutOfMemory") == 1
    metrics.count_ends(status, ended(Reason.OUT_OF_MEMORY, number=2))
    assert value(metrics, "headrace_attempts_ended_total", reason="OutOfMemory") == 2


def test_an_unknown_reason_from_a_kubelet_counts_as_other() -> None:
    metrics = Metrics()
    metrics.count_ends(TrainingJobStatus(), ended("SolarFlare"))
    assert value(metrics, "headrace_attempts_ended_total", reason=OTHER) == 1
    assert "SolarFlare" not in generate_latest(metrics.registry).decode()


@pytest.mark.parametrize("state", [State.DONE, State.STOPPED, State.ERROR])
def test_a_job_is_counted_when_it_is_over(state: State) -> None:
    metrics = Metrics()
    over = TrainingJobStatus(state=state)
    metrics.count_ends(TrainingJobStatus(state=State.RUNNING), over)
    metrics.count_ends(over, over.model_copy(update={"message": "again"}))
    assert value(metrics, "headrace_jobs_ended_total", state=state) == 1


def scraped(cache: Cache, *, leads: bool = True, at: float = 0) -> Metrics:
    metrics = Metrics()
    metrics.watch(cache, lambda: 3, leads=lambda: leads, now=lambda: seconds(at))
    return metrics


def cache_of(*jobs: dict[str, object], pods: tuple[dict[str, object], ...] = ()) -> Cache:
    cache = Cache()
    for job in jobs:
        cache.jobs.put(job)
    for pod in pods:
        cache.pods.put(pod)
    return cache


def test_jobs_are_counted_by_project_and_state() -> None:
    cache = cache_of(
        make_job("a").running().obj(),
        make_job("b").created(1).obj(),
        make_job("c").created(2).state(State.QUEUED).obj(),
        make_job("d").project("q").over().obj(),
    )
    metrics = scraped(cache)

    def jobs(project: str, state: str) -> float | None:
        return value(metrics, "headrace_jobs", namespace="ns", project=project, state=state)

    assert (jobs("p", "Running"), jobs("p", "Queued"), jobs("p", "Done")) == (1, 2, 0)
    assert (jobs("q", "Queued"), jobs("q", "Done")) == (0, 1)
    assert value(metrics, "headrace_workqueue_depth") == 3


def test_a_project_without_jobs_has_no_series() -> None:
    cache = cache_of(make_job("a").obj())
    cache.jobs.remove(make_job("a").obj())
    assert 'project="p"' not in generate_latest(scraped(cache).registry).decode()


def test_a_standby_leaves_the_counting_to_the_leader() -> None:
    cache = cache_of(make_job("a").obj())
    assert value(scraped(cache), "headrace_jobs", namespace="ns", project="p", state="Queued") == 1
    assert value(scraped(cache, leads=False), "headrace_jobs", namespace="ns", project="p", state="Queued") is None


def test_the_longest_wait_is_the_oldest_queued_job_that_is_not_paused() -> None:
    cache = cache_of(
        make_job("a").running().obj(),
        make_job("b").created(10).suspend().obj(),
        make_job("c").created(20).obj(),
        make_job("d").created(30).obj(),
    )
    since = value(scraped(cache), "headrace_oldest_queued_timestamp_seconds", namespace="ns", project="p")
    assert since == seconds(20).timestamp()
    only_running = scraped(cache_of(make_job("a").running().obj()))
    assert value(only_running, "headrace_oldest_queued_timestamp_seconds", namespace="ns", project="p") is None


def test_the_last_failure_keeps_its_time_however_long_it_lasts() -> None:
    def last_failure(*jobs: JobBuilder) -> float | None:
        metrics = scraped(cache_of(*(job.obj() for job in jobs)))
        return value(metrics, "headrace_last_failure_timestamp_seconds", namespace="ns", project="p")

    done, early, late = make_job("a").over(at=90), make_job("b").over(State.ERROR, at=30), make_job("c").over(State.ERROR, at=60)
    assert last_failure(done, make_job("d").running()) is None
    assert last_failure(done, early) == seconds(30).timestamp()
    assert last_failure(late, early, done) == seconds(60).timestamp()
    untimed = make_job("e").state(State.ERROR)
    assert last_failure(untimed) is None
    assert last_failure(untimed, early) == seconds(30).timestamp()


def test_a_pod_is_lost_when_its_node_does_not_answer_or_it_does_not_end() -> None:
    running, silent = make_job("a").running(), make_job("a").running().state(State.RUNNING, Reason.NODE_LOST)

    def lost(pod: PodBuilder, *jobs: JobBuilder, at: float = 0) -> float | None:
        cache = cache_of(*(one.obj() for one in jobs), pods=(pod.obj(),))
        return value(scraped(cache, at=at), "headrace_pods_lost", namespace="ns", project="p")

    assert lost(make_pod(running, 1).ready(), running) == 0
    assert lost(make_pod(silent, 1).not_ready(), silent) == 1
    assert lost(make_pod(running, 1).not_ready().deleting(30), running, at=60) == 0, "it may still be ending"
    assert lost(make_pod(running, 1).not_ready().deleting(30), running, at=120) == 1, "the operator may not always read nodes"
    assert lost(make_pod(running, 1).not_ready().deleting(30), at=120) == 1, "its job is gone, but the pod is not"
    assert lost(make_pod(silent, 1).exited(0).deleting(30), silent, at=120) == 0


def test_gpus_are_in_use_from_the_node_to_the_end() -> None:
    job = make_job("a")

    def gpus(pod: PodBuilder, *jobs: JobBuilder) -> float | None:
        raw = pod.obj()
        raw["spec"]["containers"] = [{"name": "trainer", "resources": {"limits": {names.RESOURCE_GPU: "2", "cpu": "1"}}}]
        cache = cache_of(*(one.obj() for one in jobs), pods=(raw,))
        return value(scraped(cache), "headrace_gpus_in_use", namespace="ns", project="p")

    assert gpus(make_pod(job, 1).gated(), job) == 0
    assert gpus(make_pod(job, 1).unschedulable("no room"), job) == 0
    assert gpus(make_pod(job, 1).scheduled(), job) == 2
    assert gpus(make_pod(job, 1).ready().deleting(), job) == 2, "it is ending, but has not ended"
    assert gpus(make_pod(job, 1).ready()) == 2, "its job is gone, but the pod is not"
    assert gpus(make_pod(job, 1).exited(0), job) == 0
