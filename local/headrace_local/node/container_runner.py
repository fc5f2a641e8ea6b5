"""A container's life: find its program, configure it, run it, probe it, restart it if the pod says so."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

from headrace_api.backoff import Backoff
from headrace_kube.errors import KubeError
from headrace_local.node.container_setup import command_for, termination_message
from headrace_local.node.environment import ConfigError, Json
from headrace_local.node.images import ImageNotFoundError
from headrace_local.node.pod_context import PodContext
from headrace_local.node.probes import ProbeError, Timing, check_http, check_tcp, port_number, verdicts
from headrace_local.node.processes import Command, Exit, Process, StartError
from headrace_local.node.status import Running, Terminated, Waiting, recorded

logger = logging.getLogger(__name__)

# A kubelet's pauses before it starts a container again: the first and the longest.
BACKOFF_SECONDS = (10.0, 300.0)
# After a run this long, the next crash counts as the first again.
BACKOFF_RESET_SECONDS = 600.0
# The exit code of a program that could not be executed, as in containerd.
START_ERROR_CODE = 128
# ErrImagePull stays this long before it becomes ImagePullBackOff.
PULL_ERROR_SECONDS = 1.0


class ContainerRunner:
    """One container of a pod. `record` has its state; the runner calls `changed` whenever that changes."""

    def __init__(self, context: PodContext, name: str, *, init: bool, changed: Callable[[], None]) -> None:
        self._context = context
        self._name = name
        self._init = init
        self._changed = changed
        self._process: Process | None = None
        self._command: Command | None = None
        self._stopping = False
        self._crashes = Backoff(*BACKOFF_SECONDS)
        self._task: asyncio.Task[None] | None = None
        statuses = context.pod.get("status", {}).get("initContainerStatuses" if init else "containerStatuses", ())
        before = next((status for status in statuses if status["name"] == name), None)
        has_init = bool(context.pod["spec"].get("initContainers"))
        waiting = Waiting("PodInitializing" if has_init else "ContainerCreating")
        self.record = recorded(name, self.spec["image"], waiting, before)

    @property
    def spec(self) -> Json:
        """The container's part of the newest pod object (users may change its image in place)."""
        kind = "initContainers" if self._init else "containers"
        spec: Json = next(item for item in self._context.pod["spec"][kind] if item["name"] == self._name)
        return spec

    async def run(self) -> None:
        """Start and restart the container until it has ended for good."""
        self._task = asyncio.current_task()
        while not self._stopping:
            if not isinstance(self.record.state, Terminated):
                self.record.state = await self._run_once()
                self.record.ready = self.record.started = False
                self._changed()
            if self._stopping or not self._restarts(self.record.state):
                return
            await self._back_off(self.record.state)

    async def stop(self, grace_seconds: float) -> None:
        """End the container: preStop, SIGTERM, then SIGKILL after the grace period. Returns when nothing of it is left."""
        self._stopping = True
        if self._process is not None:
            await self._end(self._process, grace_seconds)
        if self._task is not None and not self._task.done():
            if self._process is None:
                self._task.cancel()
            await asyncio.wait({self._task})

    def hasten(self, grace_seconds: float) -> None:
        """Shorten the grace period of a stop that is under way."""
        if self._process is not None:
            asyncio.get_running_loop().call_later(grace_seconds, self._process.kill)

    async def _run_once(self) -> Terminated:
        """One start, from finding the image to the end of the process."""
        try:
            command = await self._configured()
            process = await self._context.node.spawner.spawn(command)
        except StartError as error:
            return Terminated(START_ERROR_CODE, "StartError", str(error), finished_at=datetime.now(UTC))
        self._process, self._command = process, command
        started = datetime.now(UTC)
        self.record.state = Running(started)
        self.record.container_id = f"process://{process.pid}"
        self.record.started = "startupProbe" not in self.spec
        self.record.ready = self.record.started and "readinessProbe" not in self.spec
        self._changed()
        health = asyncio.create_task(self._watch_health(process))
        try:
            end = await process.wait()
        finally:
            health.cancel()
        self._process = None
        if time.time() - started.timestamp() > BACKOFF_RESET_SECONDS:
            self._crashes = Backoff(*BACKOFF_SECONDS)
        return self._terminated(end, started, command)

    async def _configured(self) -> Command:
        """The command for the next start. Until there is one, the container waits, and its state says why."""
        pulls, retries = Backoff(*BACKOFF_SECONDS), Backoff(first=1.0, longest=10.0)
        while True:
            try:
                return await command_for(self._context, self.spec, self.record.restarts)
            except ImageNotFoundError as error:
                self._wait_for("ErrImagePull", str(error))
                await asyncio.sleep(PULL_ERROR_SECONDS)
                image = self.spec["image"]
                self._wait_for("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {error}')
                await asyncio.sleep(pulls.next())
            except (ConfigError, KubeError) as error:
                self._wait_for("CreateContainerConfigError", str(error))
                await asyncio.sleep(retries.next())

    async def _back_off(self, end: Terminated) -> None:
        """Wait between two starts: not at all after the first crash, then 10 s, 20 s, … like a kubelet."""
        self.record.last = end
        delay = self._crashes.next() if self.record.restarts else 0.0
        if delay:
            metadata = self._context.pod["metadata"]
            pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
            message = f"back-off {delay:.0f}s restarting failed container={self._name} pod={pod}"
            self._wait_for("CrashLoopBackOff", message)
            await asyncio.sleep(delay)
        self.record.restarts += 1
        self.record.state = Waiting("ContainerCreating")

    def _restarts(self, end: Terminated) -> bool:
        policy = self._context.pod["spec"].get("restartPolicy", "Always")
        if policy == "Never" or (end.exit_code == 0 and self._init):
            return False
        return policy == "Always" or end.exit_code != 0

    def _wait_for(self, reason: str, message: str) -> None:
        self.record.state = Waiting(reason, message)
        self._changed()

    def _terminated(self, end: Exit, started: datetime, command: Command) -> Terminated:
        reason = "OOMKilled" if end.out_of_memory else "Error" if end.code else "Completed"
        return Terminated(
            end.code,
            reason,
            termination_message(self._context, self.spec, end.code, command.log),
            started,
            datetime.now(UTC),
            self.record.container_id,
        )

    async def _end(self, process: Process, grace_seconds: float) -> None:
        deadline = time.monotonic() + grace_seconds
        hook = self.spec.get("lifecycle", {}).get("preStop")
        if hook is not None:
            with contextlib.suppress(ProbeError, TimeoutError):
                await asyncio.wait_for(self._execute(hook["exec"]["command"]), grace_seconds)
        process.signal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        killing = loop.call_later(max(deadline - time.monotonic(), 0.0), process.kill)
        await process.wait()
        killing.cancel()

    async def _watch_health(self, process: Process) -> None:
        """Run the probes of a running container until cancelled."""
        spec = self.spec
        if "startupProbe" in spec:
            async for passed in self._verdicts(spec["startupProbe"]):
                if passed:
                    break
                await self._end_unhealthy(process, "startup", spec["startupProbe"])
        self.record.started = True
        self.record.ready = "readinessProbe" not in spec
        if "startupProbe" in spec:
            self._changed()
        async with asyncio.TaskGroup() as probes:
            if "readinessProbe" in spec:
                probes.create_task(self._watch_readiness(spec["readinessProbe"]))
            if "livenessProbe" in spec:
                probes.create_task(self._watch_liveness(process, spec["livenessProbe"]))

    async def _watch_readiness(self, probe: Json) -> None:
        async for passed in self._verdicts(probe):
            if passed != self.record.ready:
                self.record.ready = passed
                self._changed()

    async def _watch_liveness(self, process: Process, probe: Json) -> None:
        async for passed in self._verdicts(probe):
            if not passed:
                await self._end_unhealthy(process, "liveness", probe)

    async def _end_unhealthy(self, process: Process, kind: str, probe: Json) -> None:
        if self._stopping:  # a container that is ending may fail its probes
            return
        logger.info("container %s of %s failed its %s probe", self._name, self._context.name, kind)
        default = self._context.pod["spec"].get("terminationGracePeriodSeconds", 30)
        await self._end(process, probe.get("terminationGracePeriodSeconds", default))

    def _verdicts(self, probe: Json) -> AsyncIterator[bool]:
        return verdicts(Timing.of(probe), lambda: self._check(probe))

    async def _check(self, probe: Json) -> None:
        """One check of a probe. Raises ProbeError."""
        address = self._context.ip or self._context.node.host_ip
        if "httpGet" in probe:
            action = probe["httpGet"]
            port = port_number(action["port"], self.spec)
            await check_http(self._context.node.probe_session, action, port, address)
        elif "tcpSocket" in probe:
            action = probe["tcpSocket"]
            await check_tcp(action.get("host") or address, port_number(action["port"], self.spec))
        else:
            await self._execute(probe["exec"]["command"])

    async def _execute(self, words: list[str]) -> None:
        """Run a program beside the container's, in its environment. Raises ProbeError unless it exits 0."""
        assert self._command is not None
        command = replace(self._command, argv=tuple(words), log=None, memory=None)
        try:
            process = await self._context.node.spawner.spawn(command)
        except StartError as error:
            raise ProbeError(str(error)) from error
        end = await process.exited  # not shielded: a timeout kills the program
        if end.code:
            raise ProbeError(f"command exited with {end.code}")
