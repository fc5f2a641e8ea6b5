"""Everything we use of kopf except its login (connection.py): an event updates the cache and enqueues the project, nothing else.

kopf keeps the watch streams alive (reconnects, 410s and relists, new credentials). We do not use its state-changing handlers,
daemons, timers and indices: each of them looks at one object, and our unit is the project. Without state-changing handlers, kopf
never writes to an object: no finalizers, no annotations, no events.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from headrace_api import names
from headrace_operator import connection
from headrace_operator.cache import Cache, Kind
from headrace_operator.settings import Settings
from headrace_operator.state import Job, Pod, ProjectKey

logger = logging.getLogger(__name__)

WATCH_AGAIN_SECONDS = 10
"""Pause before we restart a watch that kopf gave up on."""
WATCH_MINUTES = 5
"""The server ends each watch after this long, and kopf opens a new one. (kopf drops silent connections by itself, sooner.)"""


Enqueue = Callable[[ProjectKey], None]
"""Called with the project that an event belongs to."""


def registries_for(cache: Cache, enqueue: Enqueue, missed: Callable[[], None]) -> dict[str, kopf.OperatorRegistry]:
    """Returns one registry for jobs and one for pods, each with our login and one handler that updates the cache and the queue.

    kopf LISTs before its first watch and whenever the server no longer knows a watch's resource version (410 Gone). It reports the
    listed objects as events without a type, and does not report those deleted in the meantime: we call `missed` for that.
    """
    jobs, pods = kopf.OperatorRegistry(), kopf.OperatorRegistry()
    on_job = kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=jobs)
    on_job(handler(cache.jobs, enqueue, missed))
    on_pod = kopf.on.event("", "v1", "pods", labels={names.LABEL_MANAGED_BY: names.MANAGED_BY}, registry=pods)
    on_pod(handler(cache.pods, enqueue, missed))
    for registry in (jobs, pods):
        kopf.on.login(registry=registry)(_login)
    return {"jobs": jobs, "pods": pods}


async def _login(**_: Any) -> kopf.ConnectionInfo:
    return await connection.login()


def handler(kind: Kind[Job] | Kind[Pod], enqueue: Enqueue, missed: Callable[[], None]) -> Callable[..., Awaitable[None]]:
    """Returns the handler for events about objects of this kind."""

    async def handle(type: str | None, event: Any, **_: Any) -> None:
        raw = event["object"]
        if type is None:
            missed()
        key = kind.remove(raw) if type == "DELETED" else kind.put(raw)
        if key is not None:
            enqueue(key)

    return handle


class NoMemory(kopf.DiffBaseStorage):
    """Keeps kopf from computing what changed in an object since it last saw it: we have no use for that.

    kopf computes it for every event, even if no handler needs it: five deep copies of the object, half of the operator's CPU time
    (measured on 200 jobs: 20 s of 42 s under a profiler).
    """

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def kopf_settings() -> kopf.OperatorSettings:
    """Switches off what we do not use of kopf: it would cost requests, permissions or CPU time."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = WATCH_MINUTES * 60
    settings.watching.label_selectors["", "v1", "pods"] = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
    settings.persistence.diffbase_storage = NoMemory()
    settings.queueing.exit_timeout = 0.1  # a handler only writes to the cache: there is nothing to wait for
    settings.process.ultimate_exiting_timeout = None  # kopf would kill the process when one of several watches fails
    return settings


def quiet_kopf() -> None:
    """Silences kopf below warnings: it logs every event, which would drown our own messages."""
    logging.getLogger("kopf").setLevel(logging.WARNING)


async def watch(cache: Cache, enqueue: Enqueue, settings: Settings, ending: asyncio.Event, missed: Callable[[], None]) -> None:
    """Watches until cancelled; sets `ending` on SIGTERM or SIGINT, and calls `missed` when we may have missed deletions.

    Each watch has its own kopf, so that the others continue when a namespace is deleted or we lose access to it. It also lets us
    end all of a kopf whose watch failed; if it had a second watch, kopf would leave it running, with no public way to find it.
    """
    async with asyncio.TaskGroup() as group:
        for namespace in settings.watch_namespaces or (None,):
            for what, registry in registries_for(cache, enqueue, missed).items():
                where = f"{what} of {f'namespace {namespace}' if namespace else 'the cluster'}"
                group.create_task(_keep_watching(registry, namespace, where, ending, missed))


async def _keep_watching(
    registry: kopf.OperatorRegistry, namespace: str | None, where: str, ending: asyncio.Event, missed: Callable[[], None]
) -> None:
    """Restarts the watch when it fails; kopf itself has retried for about a minute by then."""
    while True:
        try:
            await watch_once(registry, namespace, ending)
        except Exception as error:
            logger.error("the watch of %s ended; restarting it in %d s: %s", where, WATCH_AGAIN_SECONDS, error)
        else:
            logger.error("the watch of %s ended; restarting it in %d s", where, WATCH_AGAIN_SECONDS)
        await asyncio.sleep(WATCH_AGAIN_SECONDS)
        missed()


async def watch_once(registry: kopf.OperatorRegistry, namespace: str | None, ending: asyncio.Event) -> None:
    """Runs kopf's own tasks until one of them ends, then ends the others.

    We do not use `kopf.operator`: when it ends, it cancels every task that the loop started after it, including ours, and on a
    signal it waits for its streams before anyone else learns of the signal.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(),
        standalone=True,
        clusterwide=namespace is None,
        namespaces=(namespace,) if namespace else (),
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # kopf has just set its own handlers
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        if not task.cancelled():
            task.result()
