"""What an event of the watch does: it feeds the cache, names the project, and tells when deletions may have been missed."""

import asyncio

import pytest

from headrace_operator.cache import Cache
from headrace_operator.handlers import handler
from headrace_operator.state import ProjectKey
from headrace_operator.workqueue import WorkQueue
from headrace_testing.builders import make_job, make_pod

KEY = ProjectKey("ns", "p")


def told(kind: str, *events: str | None) -> tuple[Cache, int, list[None]]:
    """The cache, the length of the queue and the tellings of missed deletions after events of these types on one object."""
    cache, queue, missed = Cache(), WorkQueue[ProjectKey](), list[None]()
    handle = handler({"job": cache.jobs, "pod": cache.pods}[kind], queue.add, lambda: missed.append(None))
    job = make_job("a")
    raw = {"job": job.obj(), "pod": make_pod(job).obj()}[kind]
    for event in events:
        asyncio.run(handle(type=event, event={"type": event, "object": raw}))
    return cache, len(queue), missed


@pytest.mark.parametrize("kind", ["job", "pod"])
def test_an_object_is_known_while_it_is_there(kind: str) -> None:
    cache, queued, missed = told(kind, "ADDED")
    assert (cache.projects(), queued, missed) == ({KEY}, 1, [])
    assert told(kind, "ADDED", "DELETED")[0].projects() == set()


@pytest.mark.parametrize("kind", ["job", "pod"])
def test_an_object_without_a_type_comes_from_a_list_and_deletions_may_have_been_missed(kind: str) -> None:
    cache, _, missed = told(kind, None)
    assert (cache.projects(), missed) == ({KEY}, [None])
