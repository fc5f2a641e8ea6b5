"""The parts of one operator, put together: watches feed the cache, workers pass over projects while this replica leads."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping

from headrace_operator.actions import Actions
from headrace_operator.api import Api, ApiError, ForbiddenError
from headrace_operator.cache import Cache
from headrace_operator.clock import Clock, SystemClock
from headrace_operator.leader import Leader
from headrace_operator.metrics import Metrics
from headrace_operator.progress import Poller
from headrace_operator.reconcile import Reconciler
from headrace_operator.recorder import Recorder
from headrace_operator.settings import Settings
from headrace_operator.slot import Slots
from headrace_operator.state import ProjectKey
from headrace_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1
"""How long the end waits for Events that are still to be sent."""

RELIST_SECONDS = 1
"""From the watch's telling that it began anew to our own LISTs: it tells once for each object."""


class Replica:
    """One replica of the operator; `handlers` feeds its cache and queue."""

    def __init__(self, api: Api, settings: Settings, metrics: Metrics, identity: str, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self.api = api
        self.settings = settings
        self.metrics = metrics
        self.clock = clock
        self.cache = Cache()
        self.queue: WorkQueue[ProjectKey] = WorkQueue()
        self.recorder = Recorder(api)
        slots = Slots(api, clock)
        actions = Actions(
            api=api,
            cache=self.cache,
            slots=slots,
            settings=settings,
            clock=clock,
            metrics=metrics,
            emit=self.recorder.emit,
            identity=identity,
        )
        self.reconciler = Reconciler(api=api, cache=self.cache, slots=slots, actions=actions, settings=settings, clock=clock)
        self.poller = Poller(self.cache, settings, clock, self.queue.add)
        self.leader = Leader(
            api=api, settings=settings, clock=clock, identity=identity, on_elected=self._elected, on_deposed=self._deposed
        )
        self._running = False
        self._leads = asyncio.Event()
        self._deposed_again = asyncio.Event()
        self._synced = asyncio.Event()
        self._list_again = asyncio.Event()
        self._closed: frozenset[str | None] = frozenset()
        """Watched namespaces that could not be LISTed the last time."""
        metrics.watch(self.cache, lambda: len(self.queue), leads=self._synced.is_set, now=clock.now)

    async def run(self) -> None:
        """Works until cancelled; then gives the Lease away, so that another replica goes on at once."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.leader.run(), name="leader")
                group.create_task(self.recorder.run(), name="recorder")
                group.create_task(self._work_while_leading(), name="work")
                try:
                    await asyncio.Event().wait()
                finally:
                    await self.recorder.flush(FLUSH_SECONDS)
        finally:
            await self.leader.release()

    def enqueue(self, key: ProjectKey) -> None:
        """Something happened to a project. A standby only knows it: whoever is elected passes over every project."""
        if self._leads.is_set():
            self.queue.add(key)

    def list_again(self) -> None:
        """A watch began anew, so what went meanwhile is a ghost in the cache: it is replaced soon, not at the next resync."""
        self._list_again.set()

    @property
    def ready(self) -> bool:
        """Whether it does its part: a leader that knows its projects, or a standby; not while it waits for a usable cluster."""
        return self._running and (self._synced.is_set() or not self._leads.is_set())

    async def _elected(self) -> None:
        self._deposed_again.clear()
        self._leads.set()
        self.metrics.leader.set(1)

    async def _deposed(self) -> None:
        self._leads.clear()
        self._synced.clear()
        self._deposed_again.set()
        self.metrics.leader.set(0)

    async def _work_while_leading(self) -> None:
        """Begins the work when elected and breaks it off, between two requests or within one, when deposed."""
        while True:
            await self._leads.wait()
            work, deposed = asyncio.create_task(self._work()), asyncio.create_task(self._deposed_again.wait())
            try:
                await asyncio.wait([work, deposed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, deposed):
                    task.cancel()
                await asyncio.wait([work, deposed])
            if not work.cancelled():
                work.result()
            self.queue.clear()

    async def _work(self) -> None:
        """A leader's work: LIST everything, then pass over whatever projects the watches and deadlines name."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resync())
            await self._synced.wait()
            group.create_task(self.poller.run())
            for _ in range(self.settings.workers):
                group.create_task(self._worker())

    async def _resync(self) -> None:
        """Replaces what the watches said by LISTs: first at once, so that a new leader knows everything, then now and then.

        Soon, too, after a watch began anew.
        """
        while True:
            try:
                await self._list_everything()
            except ApiError as error:
                logger.error("cannot LIST: %s", error)
                await asyncio.sleep(self.settings.leader_lease / 5)
                continue
            self._synced.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._list_again.wait(), self.settings.resync)
                await asyncio.sleep(RELIST_SECONDS)
            self._list_again.clear()

    async def _list_everything(self) -> None:
        """LISTs what is watched.

        Raises:
            ApiError: a LIST failed; of several namespaces, some may be closed to us, but not all.
        """
        closed: dict[str | None, ForbiddenError] = {}
        for namespace in self.settings.watch_namespaces or (None,):
            # Jobs first: a status that names an attempt is never newer than the LIST of pods that should show it.
            try:
                jobs = await self.api.list_all_jobs(namespace)
                pods = await self.api.list_all_pods(namespace)
            except ForbiddenError as error:
                closed[namespace] = error
                continue

            def within(key: ProjectKey, namespace: str | None = namespace) -> bool:
                return namespace is None or key.namespace == namespace

            self.cache.jobs.replace_all(jobs, within)
            self.cache.pods.replace_all(pods, within)
        self._tell_closed(closed)
        if len(closed) == max(1, len(self.settings.watch_namespaces)):
            raise next(iter(closed.values()))
        self.cache.tidy()
        self.reconciler.actions.tidy(self.cache.projects())
        for key in self.cache.projects():
            self.queue.add(key)

    def _tell_closed(self, closed: Mapping[str | None, ForbiddenError]) -> None:
        """Says which watched namespaces cannot be read, and which can be read again; once for each change."""
        for namespace in closed.keys() - self._closed:
            why = closed[namespace]
            logger.error("namespace %s is left out until it can be read (deleted? its Role missing?): %s", namespace, why)
        for namespace in self._closed - closed.keys():
            logger.info("namespace %s can be read again", namespace)
        self._closed = frozenset(closed)

    async def _worker(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._pass_over(key)
            finally:
                self.queue.done(key)

    async def _pass_over(self, key: ProjectKey) -> None:
        """One pass, and when the next one is due. A pass that fails is repeated after a pause; other projects go on."""
        began = time.monotonic()
        try:
            wake = await self.reconciler.reconcile(key)
        except Exception as error:
            self.metrics.reconcile_errors.labels(type(error).__name__).inc()
            pause = self.queue.failed(key)
            if isinstance(error, ForbiddenError):
                logger.error("%s: the operator lacks a permission, again in %.1f s: %s", key, pause, error)
            elif isinstance(error, ApiError):
                logger.warning("%s: again in %.1f s: %s", key, pause, error)
            else:
                logger.exception("%s: a bug; again in %.1f s", key, pause)
        else:
            self.queue.succeeded(key)
            if wake is not None:
                self.queue.add_after(key, (wake - self.clock.now()).total_seconds())
        finally:
            self.metrics.reconcile.observe(time.monotonic() - began)
