"""What a watch event does, and that a watch that has ended leaves nothing behind."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from headrace_api import names
from headrace_operator import handlers
from headrace_operator.cache import Cache
from headrace_operator.handlers import handler, kopf_settings, registries_for, watch_once
from headrace_operator.state import ProjectKey
from headrace_operator.workqueue import WorkQueue
from headrace_testing.builders import make_job, make_pod
from headrace_testing.scripted_server import scripted_server

KEY = ProjectKey("ns", "p")


def told(kind: str, *events: str | None) -> tuple[Cache, int, list[None]]:
    """The cache, the queue's length and the reports of missed deletions, after events of these types for one object."""
    cache, queue, missed = Cache(), WorkQueue[ProjectKey](), list[None]()
    handle = handler({"job": cache.jobs, "pod": cache.pods}[kind], queue.add, lambda: missed.append(None))
    job = make_job("a")
    raw = {"job": job.obj(), "pod": make_pod(job).obj()}[kind]
    for event in events:
        asyncio.run(handle(type=event, event={"type": event, "object": raw}))
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


class Discovery:
    """As much of an API server as kopf needs for the jobs of one namespace: its kinds, a LIST and an endless watch."""

    def __init__(self, list_status: int = 200) -> None:
        self.list_status = list_status
        self.watched = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        group, plural = f"/apis/{names.GROUP}/{names.VERSION}", names.PLURAL
        version = {"groupVersion": f"{names.GROUP}/{names.VERSION}", "version": names.VERSION}
        kind = {"name": plural, "kind": names.KIND, "singularName": "", "namespaced": True, "verbs": ["list", "watch"]}
        answers: dict[str, Any] = {
            "/api": {"versions": ["v1"]},
            "/api/v1": {"resources": [{**kind, "name": "namespaces", "kind": "Namespace", "namespaced": False}]},
            "/apis": {"groups": [{"name": names.GROUP, "versions": [version], "preferredVersion": version}]},
            group: {"resources": [kind]},
            f"{group}/namespaces/ns/{plural}": {"metadata": {"resourceVersion": "1"}, "items": [make_job("a").obj()]},
        }
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            self.watched.set()
            await asyncio.Event().wait()
        status = self.list_status if request.path.endswith(plural) else 200
        return web.json_response(answers[request.path], status=status)


@pytest.fixture
def kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    def write(server: str) -> None:
        path = tmp_path / "kubeconfig"
        path.write_text(
            f"""
            current-context: x
            contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
            clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
            users: [{{name: u, user: {{token: t}}}}]
            """
        )
        monkeypatch.setenv("KUBECONFIG", str(path))

    return write


def watched(kubeconfig: Callable[[str], None], discovery: Discovery, cancel: bool) -> tuple[BaseException | None, Cache, set[str]]:
    """How a watch of jobs ended, what it returned, and the names of the kopf tasks that it left."""

    async def story() -> tuple[BaseException | None, Cache, set[str]]:
        async with scripted_server(discovery.handle) as server:
            kubeconfig(server)
            cache = Cache()
            jobs = registries_for(cache, lambda _key: None, lambda: None)["jobs"]
            before = asyncio.all_tasks()
            watching = asyncio.create_task(watch_once(jobs, "ns", asyncio.Event()))
            if cancel:
                await asyncio.wait_for(discovery.watched.wait(), 20)
                assert tasks_of_kopf(before), "this must see them, or it proves nothing"
                watching.cancel()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
            return ended, cache, tasks_of_kopf(before)

    return asyncio.run(asyncio.wait_for(story(), 60))


def tasks_of_kopf(but: set[asyncio.Task[Any]]) -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() - but if "/kopf/" in task.get_coro().cr_code.co_filename}


def test_a_watch_that_is_cancelled_leaves_no_task_of_kopf_behind(kubeconfig: Callable[[str], None]) -> None:
    ended, cache, left = watched(kubeconfig, Discovery(), cancel=True)
    assert isinstance(ended, asyncio.CancelledError)
    assert cache.projects() == {KEY}
    assert left == set()


def test_a_watch_that_fails_says_why_and_leaves_no_task_of_kopf_behind(
    kubeconfig: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = kopf_settings()
    impatient.networking.error_backoffs = ()
    monkeypatch.setattr(handlers, "kopf_settings", lambda: impatient)
    ended, _, left = watched(kubeconfig, Discovery(list_status=403), cancel=False)
    assert "403" in repr(ended) or "Forbidden" in repr(ended)
    assert left == set()
