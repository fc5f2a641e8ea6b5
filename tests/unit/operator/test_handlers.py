"""What a watch event does: it updates the cache, queues the project, and reports that deletions may have been missed."""

import asyncio
from typing import Any

import pytest

from headrace_operator.cache import Cache
from headrace_operator.handlers import registry_for
from headrace_operator.state import ProjectKey
from headrace_operator.workqueue import WorkQueue
from headrace_testing.builders import make_job, make_pod

KEY = ProjectKey("ns", "p")


def told(kind: str, *events: str | None) -> tuple[Cache, int, list[None]]:
    """The cache, the queue's length and the reports of missed deletions, after events of these types for one object."""
    cache, queue, missed = Cache(), WorkQueue[ProjectKey](), list[None]()
    registry = registry_for(cache, queue.add, lambda: missed.append(None))
    job = make_job("a")
    raw = {"job": job.obj(), "pod": make_pod(job).obj()}[kind]
    # kopf has no public way to get a registered handler.
    functions: dict[str, Any] = {handler.fn.__name__: handler.fn for handler in registry._watching._handlers}
    for event in events:
        asyncio.run(functions[f"{kind}_event"](type=event, event={"type": event, "object": raw}))
    return cache, len(queue), missed


@pytest.mark.parametrize("kind", ["job", "pod"])
def test_an_object_is_known_while_it_exists(kind: str) -> None:
    cache, queued, missed = told(kind, "ADDED")
    assert (cache.projects(), queued, missed) == ({KEY}, 1, [])
    assert told(kind, "ADDED", "DELETED")[0].projects() == set()


@pytest.mark.parametrize("kind", ["job", "pod"])
def test_an_object_without_a_type_comes_from_a_list_and_deletions_may_have_been_missed(kind: str) -> None:
    cache, _, missed = told(kind, None)
    assert (cache.projects(), missed) == ({KEY}, [None])
