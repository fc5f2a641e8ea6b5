"""A pod's life on this node, from the scheduler's binding until the object is gone."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_api.backoff import Backoff
from headrace_api.quantity import parse_quantity
from headrace_local.node.admission import unsupported
from headrace_local.node.container_runner import ContainerRunner
from headrace_local.node.devices import NoDevicesError, gpus_of
from headrace_local.node.environment import Json
from headrace_local.node.pod_context import Node, PodContext
from headrace_local.node.status import PodFacts, Terminated, Waiting, phase_of, pod_status
from headrace_local.node.status_writer import StatusWriter
from headrace_local.node.volumes import MountError, folder_bytes

logger = logging.getLogger(__name__)

FINAL = ("Succeeded", "Failed")
# A kubelet grants at least this much, even to a pod that it evicts or whose object is gone (forced deletion).
SHORT_GRACE_SECONDS = 1.0
# The node checks disk usage after 1 s, then less and less often: walking a large workspace is not free.
DISK_FIRST_SECONDS = 1.0
DISK_CAP_SECONDS = 30.0


@dataclass(frozen=True)
class Ending:
    """Why the node ends a pod: a deletion has no reason; otherwise the pod fails with reason and message."""

    grace_seconds: float
    reason: str | None = None
    message: str | None = None


class RefusedError(Exception):
    """The node refuses the pod, with status.reason and the message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PodRunner:
    """One pod bound to this node. `task` ends when the pod object is gone and nothing of it is left here."""

    def __init__(self, node: Node, pod: Json) -> None:
        self.context = PodContext(node, pod)
        self._writer = StatusWriter(node.api, self.context.namespace, self.context.name, self.context.uid)
        status = pod.get("status", {})
        self._conditions: list[Json] = status.get("conditions", [])
        started = status.get("startTime")
        self._started = datetime.fromisoformat(started) if started else datetime.now(UTC)
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._deleted = asyncio.Event()
        self._gone = asyncio.Event()
        self._init = [
            ContainerRunner(self.context, container["name"], init=True, changed=self._changed)
            for container in pod["spec"].get("initContainers", ())
        ]
        self._containers = [
            ContainerRunner(self.context, container["name"], init=False, changed=self._changed)
            for container in pod["spec"]["containers"]
        ]
        self.update(pod)
        self.task = asyncio.create_task(self._run())

    def update(self, pod: Json) -> None:
        """Take over a newer object from the watch."""
        self.context.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self._deleted.set()
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds", 0))
            self._end(Ending(max(grace, SHORT_GRACE_SECONDS)))

    def gone(self) -> None:
        """Clean up, because the object no longer exists."""
        self._deleted.set()
        self._gone.set()
        self.context.node.devices.release(self.context.uid)  # from now on the scheduler counts them as free
        self._end(Ending(SHORT_GRACE_SECONDS))

    def container(self, name: str) -> ContainerRunner | None:
        return next((runner for runner in (*self._init, *self._containers) if runner.record.name == name), None)

    async def _run(self) -> None:
        try:
            if self.context.pod.get("status", {}).get("phase") not in FINAL:
                await self._live()
            await self._deleted.wait()
            if not self._gone.is_set():
                await self._writer.flush()
                await self._writer.delete()
            await self._gone.wait()
            await self.context.remove_folder()
        finally:
            self.context.release()

    async def _live(self) -> None:
        """Admit the pod, run it until it ends or must end, and report the end."""
        try:
            self._admit()
        except RefusedError as refusal:
            self._report_refusal(refusal)
            return
        self._changed()
        work = asyncio.create_task(self._work())
        limits = asyncio.create_task(self._watch_limits())
        try:
            waiting: set[asyncio.Future[Any]] = {work, self._ending}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and (error := work.exception()):
                logger.error("pod %s/%s", self.context.namespace, self.context.name, exc_info=error)
                self._end(Ending(SHORT_GRACE_SECONDS, "ProcessNodeError", f"The process node failed: {error}"))
            by_itself = not self._ending.done()
            if not by_itself:
                await self._stop(self._ending.result())
        finally:
            work.cancel()
            limits.cancel()
        # The scheduler gives the GPUs to the next pod as soon as it learns of the end.
        self.context.release()
        if by_itself:  # report the ended containers first, then the pod's end
            await self._writer.flush()
        self._publish(self._facts(), over=True)
        await self._writer.flush()

    def _admit(self) -> None:
        """Accept the pod and give it what it requests. Raises RefusedError if that does not exist here."""
        problems = unsupported(self.context.pod)
        if problems:
            raise RefusedError("UnsupportedByProcessNode", f"A process node does not support: {'; '.join(problems)}")
        try:
            self.context.device_env = self.context.node.devices.allocate(self.context.uid, gpus_of(self.context.pod))
        except NoDevicesError as error:
            raise RefusedError("UnexpectedAdmissionError", str(error)) from error
        self.context.take_address()

    async def _work(self) -> None:
        """Set up volumes, run init containers one by one, then all containers together; returns when all have ended for good."""
        retries = Backoff(first=0.5, longest=10.0)
        while True:
            try:
                await self.context.mount()
                break
            except MountError as error:
                for runner in self._runners():
                    if isinstance(runner.record.state, Waiting):
                        runner.record.state = Waiting(runner.record.state.reason, str(error))
                self._changed()
                await asyncio.sleep(retries.next())
        for runner in self._init:
            await asyncio.create_task(runner.run())
            if not runner.record.succeeded:
                return
        async with asyncio.TaskGroup() as group:
            for runner in self._containers:
                group.create_task(runner.run())

    async def _watch_limits(self) -> None:
        """End the pod when its active deadline passes or an emptyDir outgrows its limit."""
        async with asyncio.TaskGroup() as group:
            if deadline := self.context.pod["spec"].get("activeDeadlineSeconds"):
                group.create_task(self._watch_deadline(timedelta(seconds=deadline)))
            for volume in self.context.pod["spec"].get("volumes", ()):
                if limit := volume.get("emptyDir", {}).get("sizeLimit"):
                    group.create_task(self._watch_disk(volume["name"], str(limit)))

    async def _watch_deadline(self, allowed: timedelta) -> None:
        left = self._started + allowed - datetime.now(UTC)
        await asyncio.sleep(max(left.total_seconds(), 0.0))
        message = "Pod was active on the node longer than the specified deadline"
        self._end(Ending(self._grace_seconds(), "DeadlineExceeded", message))

    async def _watch_disk(self, volume: str, limit: str) -> None:
        allowed = parse_quantity(limit)
        waits = Backoff(DISK_FIRST_SECONDS, DISK_CAP_SECONDS)
        while True:
            await asyncio.sleep(waits.next())
            folder = self.context.volumes.get(volume)
            if folder is not None and await asyncio.to_thread(folder_bytes, folder) > allowed:
                message = f'Usage of EmptyDir volume "{volume}" exceeds the limit "{limit}". '
                self._end(Ending(SHORT_GRACE_SECONDS, "Evicted", message))
                return

    def _end(self, ending: Ending) -> None:
        """Start ending the pod. A later call with a shorter grace period shortens an end that is under way."""
        if not self._ending.done():
            self._ending.set_result(ending)
        elif ending.grace_seconds < self._ending.result().grace_seconds:
            for runner in self._runners():
                runner.hasten(ending.grace_seconds)

    async def _stop(self, ending: Ending) -> None:
        """End every container, then set the records of those that never ran."""
        if ending.reason is not None:
            self._changed()
        await asyncio.gather(*(runner.stop(ending.grace_seconds) for runner in self._runners()))
        for record in (runner.record for runner in self._runners()):
            if isinstance(record.state, Waiting) and record.last is not None:
                record.state = record.last
            elif not isinstance(record.state, Terminated):
                record.lose()

    def _report_refusal(self, refusal: RefusedError) -> None:
        facts = PodFacts(
            init=(),
            containers=(),
            host_ip=self.context.node.host_ip,
            pod_ip=None,
            started_at=self._started,
            failed=True,
            reason=refusal.reason,
            message=str(refusal),
        )
        self._publish(facts, over=True)

    def _changed(self) -> None:
        """Publish the containers' records, except the last record of an ending pod: the final phase includes that."""
        over = all(isinstance(runner.record.state, Terminated) for runner in self._containers)
        if not (self._ending.done() and over):
            self._publish(self._facts(), over=False)

    def _facts(self) -> PodFacts:
        ending = self._ending.result() if self._ending.done() else None
        failed = ending is not None and ending.reason is not None
        return PodFacts(
            init=[runner.record for runner in self._init],
            containers=[runner.record for runner in self._containers],
            host_ip=self.context.node.host_ip,
            pod_ip=self.context.ip,
            started_at=self._started,
            ending=ending is not None,
            failed=failed,
            reason=ending.reason if ending else None,
            message=ending.message if ending else None,
        )

    def _publish(self, facts: PodFacts, *, over: bool) -> None:
        """Write the status, with a final phase only once everything is over."""
        if self._gone.is_set():
            return
        phase = phase_of(self.context.pod, facts)
        if phase in FINAL and not over:
            phase = "Running" if all(record.succeeded for record in facts.init) else "Pending"
        status = pod_status(self.context.pod, facts, self._conditions, datetime.now(UTC), phase)
        self._conditions = status["conditions"]
        self._writer.put(status)

    def _grace_seconds(self) -> float:
        return float(self.context.pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _runners(self) -> Iterator[ContainerRunner]:
        yield from self._init
        yield from self._containers
