"""Puts the parts of one operator together: watches feed the cache, and workers reconcile projects while this replica leads."""

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
"""How long a shutdown waits for unsent Events."""

RELIST_SECONDS = 1
"""How long we wait after a restarted watch reports its first object before we LIST: it reports each object once."""


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
        """Watched namespaces that we were not allowed to LIST last time."""
        metrics.watch(self.cache, lambda: len(self.queue), leads=self._synced.is_set, now=clock.now)

    async def run(self) -> None:
        """Works until cancelled; then releases the Lease, so that another replica can take over at once."""
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
        """Enqueues a project that something happened to. A standby ignores it: once elected, it reconciles every project."""
        if self._leads.is_set():
            self.queue.add(key)

    def list_again(self) -> None:
        """Call this when a watch restarted. The cache may still hold objects deleted in the meantime: LISTs will replace it soon,
        not at the next resync."""
        self._list_again.set()

    @property
    def ready(self) -> bool:
        """True for a standby, and for a leader once it knows its projects; False while it waits for a usable cluster."""
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
        """Starts the work when elected, and cancels it when deposed, even in the middle of a request."""
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
        """Does a leader's work: LISTs everything, then reconciles each project that has an event or a deadline."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resync())
            await self._synced.wait()
            group.create_task(self.poller.run())
            for _ in range(self.settings.workers):
                group.create_task(self._worker())

    async def _resync(self) -> None:
        """Replaces the cache with fresh LISTs: at once, so that a new leader knows everything, then every `resync` seconds, and
        soon after a watch restarts.
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
        """LISTs everything we watch.

        Raises:
            ApiError: a LIST failed. Missing access to some namespaces does not count as a failure, missing access to all does.
        """
        closed: dict[str | None, ForbiddenError] = {}
        for namespace in self.settings.watch_namespaces or (None,):
            # Jobs first, so that a status that names an attempt is never newer than the LIST of pods that should include it.
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
        """Logs which watched namespaces became unreadable, and which are readable again; once for each change."""
        for namespace in closed.keys() - self._closed:
            why = closed[namespace]
            logger.error("skipping namespace %s until it can be read (deleted, or its Role missing?): %s", namespace, why)
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
        """Reconciles a project and schedules its next pass. A failed pass is retried after a pause; other projects continue."""
        began = time.monotonic()
        try:
            wake = await self.reconciler.reconcile(key)
        except Exception as error:
            self.metrics.reconcile_errors.labels(type(error).__name__).inc()
            pause = self.queue.failed(key)
            if isinstance(error, ForbiddenError):
                logger.error("%s: the operator lacks a permission; trying again in %.1f s: %s", key, pause, error)
            elif isinstance(error, ApiError):
                logger.warning("%s: trying again in %.1f s: %s", key, pause, error)
            else:
                logger.exception("%s: this is a bug; trying again in %.1f s", key, pause)
        else:
            self.queue.succeeded(key)
            if wake is not None:
                self.queue.add_after(key, (wake - self.clock.now()).total_seconds())
        finally:
            self.metrics.reconcile.observe(time.monotonic() - began)
