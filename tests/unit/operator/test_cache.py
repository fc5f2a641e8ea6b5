"""The cache: newer objects win, and deleted ones stay deleted."""

from typing import Any

import pytest

from headrace_operator.api import Listing
from headrace_operator.cache import Cache
from headrace_operator.state import ProjectKey
from headrace_testing.builders import make_job, make_pod

KEY = ProjectKey("ns", "p")


def versioned(raw: dict[str, Any], version: int) -> dict[str, Any]:
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(version)}}


A, B = make_job("a").obj(), make_job("b").created(1).obj()


def names_in(cache: Cache) -> list[str]:
    return [job.name for job in cache.view(KEY).jobs]


def test_news_name_their_project_and_old_news_do_not() -> None:
    cache = Cache()
    assert cache.jobs.put(versioned(A, 5)) == KEY
    assert cache.jobs.put(versioned(A, 5)) is None
    assert cache.jobs.put(versioned(A, 4)) is None
    assert cache.jobs.put(versioned(A, 10)) == KEY, "versions are compared as numbers"
    assert cache.view(KEY).jobs[0].resource_version == 10


def test_an_event_from_before_a_deletion_does_not_bring_the_object_back() -> None:
    cache = Cache()
    cache.jobs.put(versioned(A, 5))
    assert cache.jobs.remove(versioned(A, 7)) == KEY
    assert cache.jobs.put(versioned(A, 6)) is None
    assert cache.jobs.remove(versioned(A, 7)) is None
    assert names_in(cache) == []


def test_a_list_removes_ghosts_and_keeps_what_is_newer_than_it() -> None:
    cache = Cache()
    cache.jobs.put(versioned(A, 5))
    cache.jobs.put(versioned(B, 30))
    cache.jobs.replace(KEY, Listing([], 20))
    assert names_in(cache) == ["b"], "a was gone at 20, b came at 30"
    assert cache.jobs.put(versioned(A, 6)) is None, "the event is older than the LIST, which did not show it"


def test_a_list_does_not_replace_newer_objects() -> None:
    cache = Cache()
    cache.jobs.put(versioned(A, 30))
    cache.jobs.replace(KEY, Listing([versioned(A, 10)], 20))
    assert cache.view(KEY).jobs[0].resource_version == 30


def test_a_list_of_everything_covers_projects_that_it_does_not_mention() -> None:
    cache = Cache()
    cache.jobs.put(versioned(A, 5))
    cache.jobs.put(versioned(make_job("z").project("q").obj(), 6))
    cache.jobs.replace_all(Listing([versioned(A, 5)], 20), lambda key: True)
    assert cache.projects() == {KEY}


def test_a_list_of_one_namespace_leaves_others_alone() -> None:
    cache = Cache()
    cache.jobs.put(versioned(A, 5))
    cache.jobs.replace_all(Listing([], 20), lambda key: key.namespace == "elsewhere")
    assert names_in(cache) == ["a"]


def test_jobs_come_in_the_order_they_run() -> None:
    cache = Cache()
    for job in (make_job("y").created(3), make_job("z").created(1), make_job("x").created(3)):
        cache.jobs.put(job.obj())
    assert names_in(cache) == ["z", "x", "y"]


def test_a_spec_is_parsed_once_per_generation() -> None:
    cache = Cache()
    cache.jobs.put(versioned(A, 5))
    first = cache.view(KEY).jobs[0].spec
    cache.jobs.put(versioned(A, 6))
    assert cache.view(KEY).jobs[0].spec is first
    changed = versioned({**A, "spec": {**A["spec"], "stop": True}}, 7)
    changed["metadata"]["generation"] = 2
    cache.jobs.put(changed)
    spec = cache.view(KEY).jobs[0].spec
    assert spec is not None
    assert spec.stop


def test_live_pods_are_those_that_may_run() -> None:
    cache = Cache()
    a, b, c = make_job("a"), make_job("b"), make_job("c")
    for pod in (make_pod(a).ready(), make_pod(b).gated(), make_pod(c).exited(0)):
        cache.pods.put(pod.obj())
    assert [pod.name for pod in cache.live_pods()] == ["a-1"]


def test_deleted_objects_are_forgotten() -> None:
    cache = Cache()
    pod = make_pod(make_job("a")).ready()
    cache.pods.put(pod.obj())
    cache.reports[pod.view().uid] = cache.reports["other"] = None  # type: ignore[assignment]
    cache.pods.remove(pod.obj())
    cache.tidy()
    assert (cache.reports, cache.projects()) == ({}, set())


def test_how_a_pod_ended_is_known_until_its_attempt_is_counted_though_the_pod_is_gone() -> None:
    cache = Cache()
    job = make_job("a").running()
    pod = make_pod(job).ready()
    cache.jobs.put(job.obj())
    cache.pods.put(versioned(pod.obj(), 1000))
    cache.pods.remove(versioned(pod.exited(1, "boom").obj(), 1001))
    cache.pods.replace(KEY, Listing([], 1002))
    assert [pod.exit_code for pod in cache.view(KEY).pods] == [1]
    cache.jobs.put(versioned(make_job("a").failed_once().obj(), 1003))
    assert cache.view(KEY).pods == ()


def test_unreadable_parts_of_a_status_are_logged_and_the_job_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache()
    cache.jobs.put(make_job("a").status(reason="Levitating").obj())
    assert names_in(cache) == ["a"]
    assert "ns/a: status.reason: cannot be read" in caplog.text
