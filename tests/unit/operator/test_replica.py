"""A replica on an API server in memory, on an event loop: when it LISTs, and what it says about what it cannot read."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace_operator import replica as module
from headrace_operator.api import ForbiddenError, Listing
from headrace_operator.metrics import Metrics
from headrace_operator.replica import Replica
from headrace_operator.settings import Settings
from headrace_operator.state import ProjectKey
from headrace_testing.builders import manifest
from headrace_testing.fake_clock import FakeClock
from headrace_testing.simulated_api import SimulatedApi, SimulatedServer

KEY = ProjectKey("ns", "p")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.001)


def with_replica(story: Callable[[Replica, SimulatedServer], Awaitable[None]], **settings: Any) -> None:
    """Runs a replica during the story."""

    async def run() -> None:
        clock = FakeClock()
        server = SimulatedServer(clock)
        api = SimulatedApi(server, "a")
        replica = Replica(api, Settings(trainer_image="trainer:1", **settings), Metrics(), "a", clock)
        running = asyncio.create_task(replica.run())
        try:
            await story(replica, server)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def leads(replica: Replica) -> bool:
    return replica.ready and bool(replica.leader.leading)


def idle(replica: Replica) -> bool:
    """No pass runs, and none is due."""
    return not (replica.queue.dirty or replica.queue.working)


def test_a_job_deleted_while_the_watch_was_broken_is_forgotten_when_the_watch_restarts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RELIST_SECONDS", 0)

    async def story(replica: Replica, server: SimulatedServer) -> None:
        server.create(manifest("ghost"))
        await until(lambda: leads(replica))
        replica.queue.add(KEY)
        await until(lambda: server.get("TrainingJob", "ns", "ghost").get("status", {}).get("attempts") == 1)
        await until(lambda: idle(replica))
        server.remove("Pod", "ns", "ghost-1")
        server.remove("TrainingJob", "ns", "ghost")
        replica.queue.add(KEY)
        assert not idle(replica)
        await until(lambda: idle(replica))
        assert replica.cache.jobs.objects[KEY], "no watch reported it, and a pass does not LIST without need"
        replica.list_again()
        await until(lambda: not replica.cache.jobs.objects[KEY])

    with_replica(story, resync=3600)


def test_a_namespace_is_reported_once_when_it_cannot_be_read_and_once_when_it_can(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RELIST_SECONDS", 0)
    caplog.set_level(logging.INFO, "headrace_operator.replica")
    closed = {"b"}
    lists = 0

    async def story(replica: Replica, server: SimulatedServer) -> None:
        listing = replica.api.list_all_jobs

        async def list_or_refuse(namespace: str | None) -> Listing:
            nonlocal lists
            lists += 1
            if namespace in closed:
                raise ForbiddenError("403")
            return await listing(namespace)

        monkeypatch.setattr(replica.api, "list_all_jobs", list_or_refuse)
        for round_ in range(1, 4):
            if round_ == 3:
                closed.clear()
            replica.list_again()
            await until(lambda: leads(replica) and lists >= 2 * round_)  # noqa: B023
        await until(lambda: "can be read again" in caplog.text)

    with_replica(story, watch_namespaces=("a", "b"), resync=3600)
    assert caplog.text.count("skipping namespace b") == 1
    assert caplog.text.count("namespace b can be read again") == 1
    assert "namespace a" not in caplog.text


def test_a_standby_queues_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue has no worker, so Prometheus would show more and more projects waiting for one."""
    monkeypatch.setattr(module.Leader, "run", lambda _: asyncio.Event().wait())  # another replica has the Lease

    async def story(replica: Replica, server: SimulatedServer) -> None:
        await until(lambda: replica.ready)
        replica.enqueue(KEY)
        assert len(replica.queue) == 0
        await replica._elected()
        replica.enqueue(KEY)
        server.create(manifest("job"))
        await until(lambda: server.get("TrainingJob", "ns", "job").get("status", {}).get("attempts") == 1)

    with_replica(story)
