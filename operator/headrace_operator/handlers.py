"""All of kopf but its login (connection.py): an event updates the cache and enqueues the project, nothing else.

kopf keeps the watch streams alive (reconnects, 410 and relists, new credentials) and the process (signals). Its own
handlers, daemons, timers and indices are not used: they look at one object each, and the unit here is the project.
Without state-changing handlers kopf never writes to an object: no finalizers, no annotations, no events.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

import kopf

from headrace_api import names
from headrace_operator import connection
from headrace_operator.cache import Cache
from headrace_operator.settings import Settings
from headrace_operator.state import ProjectKey

logger = logging.getLogger(__name__)

WATCH_AGAIN_SECONDS = 10
"""Pause before a watch that failed for good is begun anew."""
WATCH_MINUTES = 5
"""The server ends a watch after this long, and it is opened anew. (Silent connections kopf drops by itself, sooner.)"""


Enqueue = Callable[[ProjectKey], None]
"""Takes a project that something happened to."""


def registry_for(cache: Cache, enqueue: Enqueue, missed: Callable[[], None]) -> kopf.OperatorRegistry:
    """The two handlers, bound to a cache and a queue.

    kopf LISTs before its first watch and whenever the server has forgotten where a watch was (410 Gone). It tells such objects
    with no type, and says nothing of those that went meanwhile: `missed` is called for that.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return connection.login(settings)

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def job_event(type: str | None, event: Any, **_: Any) -> None:
        raw = event["object"]
        if type is None:
            missed()
        key = cache.jobs.remove(raw) if type == "DELETED" else cache.jobs.put(raw)
        if key is not None:
            enqueue(key)

    @kopf.on.event("", "v1", "pods", labels={names.LABEL_MANAGED_BY: names.MANAGED_BY}, registry=registry)
    async def pod_event(type: str | None, event: Any, **_: Any) -> None:
        raw = event["object"]
        if type is None:
            missed()
        key = cache.pods.remove(raw) if type == "DELETED" else cache.pods.put(raw)
        if key is not None:
            enqueue(key)

    return registry


class NoMemory(kopf.DiffBaseStorage):
    """Keeps kopf from computing what changed in an object since it last saw it: nobody asks.

    kopf computes it for every event, handlers or not: five deep copies of the object, half of the operator's CPU time
    (measured on 200 jobs: 20 s of 42 s under a profiler).
    """

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def kopf_settings() -> kopf.OperatorSettings:
    """kopf without what we do not use: each of these would cost requests or permissions."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = WATCH_MINUTES * 60
    settings.watching.label_selectors["", "v1", "pods"] = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
    settings.persistence.diffbase_storage = NoMemory()
    settings.queueing.exit_timeout = 0.1  # a handler only writes to the cache: there is nothing to wait for
    settings.process.ultimate_exiting_timeout = None  # it would kill the process when one of several watches fails
    return settings


def quiet_kopf() -> None:
    """kopf logs every event it passes on; ours are the words that matter."""
    logging.getLogger("kopf").setLevel(logging.WARNING)


async def watch(cache: Cache, enqueue: Enqueue, settings: Settings, ending: asyncio.Event, missed: Callable[[], None]) -> None:
    """Watches until cancelled; sets `ending` when SIGTERM or SIGINT comes, calls `missed` when deletions may have been missed.

    Each watched namespace has a kopf of its own: where one is deleted, or closed to us, the others are watched on.
    """
    async with asyncio.TaskGroup() as group:
        for namespace in settings.watch_namespaces or (None,):
            group.create_task(_keep_watching(registry_for(cache, enqueue, missed), namespace, ending, missed))


async def _keep_watching(
    registry: kopf.OperatorRegistry, namespace: str | None, ending: asyncio.Event, missed: Callable[[], None]
) -> None:
    """Begins the watch again when it fails; kopf itself has tried for about a minute by then."""
    where = f"namespace {namespace}" if namespace else "the cluster"
    while True:
        try:
            await _watch(registry, namespace, ending)
        except Exception as error:
            logger.error("the watch of %s ended, again in %d s: %s", where, WATCH_AGAIN_SECONDS, error)
        else:
            logger.error("the watch of %s ended, again in %d s", where, WATCH_AGAIN_SECONDS)
        await asyncio.sleep(WATCH_AGAIN_SECONDS)
        missed()


async def _watch(registry: kopf.OperatorRegistry, namespace: str | None, ending: asyncio.Event) -> None:
    """kopf's own tasks, until one of them fails.

    Not `kopf.operator`: at its end it cancels every task of the loop that began after it, ours among them, and at a signal it
    waits for its streams before anybody else hears of it.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(),
        standalone=True,
        clusterwide=namespace is None,
        namespaces=(namespace,) if namespace else (),
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # kopf has just set handlers of its own
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # kopf leaves the other stream running when one fails; it is not among `tasks`, but its name says what it is.
        streams = [task for task in asyncio.all_tasks() if _is_stream_of(task.get_name(), namespace)]
        for task in (*tasks, *streams):
            task.cancel()
        await asyncio.wait((*tasks, *streams))
    for task in done:
        if not task.cancelled():
            task.result()


def _is_stream_of(name: str, namespace: str | None) -> bool:
    """Whether a task of this name is one of kopf's watch streams of the namespace."""
    return name.startswith("watcher for ") and name.endswith(f"@{namespace}")
