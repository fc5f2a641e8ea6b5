"""The agent: one node's registration, heartbeats, logs server and pods, from start to SIGTERM."""

import asyncio
import contextlib
import fcntl
import logging
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from headrace_kube.client import Client
from headrace_kube.connection import connect
from headrace_kube.follow import follow
from headrace_local.node.addresses import HOST_IP
from headrace_local.node.devices import GPU, Devices, real_gpus
from headrace_local.node.logs_server import LogsServer
from headrace_local.node.pod_context import Node
from headrace_local.node.pod_runner import PodRunner
from headrace_local.node.processes import Spawner
from headrace_local.node.registration import keep_alive, node_object, register

logger = logging.getLogger(__name__)

MAX_PODS = 500


@dataclass(frozen=True)
class AgentOptions:
    """The options of the command line; `cpu` and `memory` are Kubernetes quantities."""

    kubeconfig: Path
    name: str
    folder: Path
    gpus: int
    cpu: str
    memory: str
    images: Mapping[str, tuple[str, ...]]
    serving_cert: Path
    serving_key: Path
    client_ca: Path
    lease_seconds: int
    taints: Mapping[str, str]

    def resources(self) -> dict[str, str]:
        """The resources that the Node offers."""
        offered = {"cpu": self.cpu, "memory": self.memory, "pods": str(MAX_PODS)}
        return offered | ({GPU: str(self.gpus)} if self.gpus else {})


class FolderInUseError(Exception):
    """Another agent is using the folder."""


class HelperEndedError(Exception):
    """The node can no longer start processes."""


class Agent:
    """Runs the pods that the API server says are bound to this node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._runners: dict[str, PodRunner] = {}

    def find(self, namespace: str, name: str) -> PodRunner | None:
        """The pod with this name; the newest one if an earlier one with the same name is still ending."""
        for runner in reversed(self._runners.values()):
            if (runner.context.namespace, runner.context.name) == (namespace, name):
                return runner
        return None

    async def follow_pods(self) -> None:
        """Run exactly the pods that are bound to this node, forever."""
        mine = {"fieldSelector": f"spec.nodeName={self._node.name}"}
        await follow(self._node.api, "/api/v1/pods", self._on_list, self._on_event, mine)

    async def close(self) -> None:
        """Stop managing the pods, without telling the API server."""
        tasks = {runner.task for runner in self._runners.values()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _on_list(self, pods: list[dict[str, Any]]) -> None:
        present = {pod["metadata"]["uid"] for pod in pods}
        for folder in self._node.folder.iterdir():
            if folder.name not in present and folder.name not in self._runners:
                shutil.rmtree(folder, ignore_errors=True)  # left behind by an agent that died
        for uid, runner in list(self._runners.items()):
            if uid not in present:
                runner.gone()
        for pod in pods:
            self._on_event("MODIFIED", pod)

    def _on_event(self, kind: str, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        runner = self._runners.get(uid)
        if runner is None and kind != "DELETED":
            runner = self._runners[uid] = PodRunner(self._node, pod)
            runner.task.add_done_callback(lambda task: self._on_end(uid, task))
        elif runner is not None:
            runner.update(pod)
            if kind == "DELETED":
                runner.gone()

    def _on_end(self, uid: str, task: asyncio.Task[None]) -> None:
        runner = self._runners.pop(uid)
        if not task.cancelled() and (error := task.exception()):
            logger.error("gave up on pod %s/%s", runner.context.namespace, runner.context.name, exc_info=error)


async def run(options: AgentOptions) -> None:
    """Act as the node until SIGTERM or SIGINT; then kill every pod's processes. Raises FolderInUseError, HelperEndedError."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pods = options.folder / "pods"
    pods.mkdir(parents=True, exist_ok=True)
    resources = options.resources()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_lock(options.folder / "agent.lock"))
        api = await stack.enter_async_context(Client(await connect(options.kubeconfig), f"process-node/{options.name}"))
        spawner = Spawner()
        stack.push_async_callback(spawner.close)
        node = Node(
            name=options.name,
            host_ip=HOST_IP,
            folder=pods,
            images=options.images,
            allocatable=resources,
            api=api,
            spawner=spawner,
            devices=Devices(options.gpus, real_gpus()),
            probe_session=await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(force_close=True, limit=0), cookie_jar=aiohttp.DummyCookieJar()
                )
            ),
        )
        agent = Agent(node)
        stack.push_async_callback(agent.close)
        logs = LogsServer(options.serving_cert, options.serving_key, options.client_ca, agent.find)
        stack.push_async_callback(logs.close)
        await _serve(options, node, agent, await logs.start(HOST_IP), stop)


async def _serve(options: AgentOptions, node: Node, agent: Agent, logs_port: int, stop: asyncio.Event) -> None:
    """Register, then work until asked to stop or until one of the loops fails."""
    manifest = node_object(options.name, logs_port, options.resources(), options.taints, datetime.now(UTC))
    await register(node.api, manifest)
    logger.info("node %s is registered, offering %s", options.name, options.resources())
    loops = [
        asyncio.create_task(keep_alive(node.api, options.name, options.lease_seconds)),
        asyncio.create_task(agent.follow_pods()),
    ]
    # Without the helper, every pod would fail here while the scheduler sends more: no node is better than a broken one.
    ends = [asyncio.create_task(event.wait()) for event in (stop, node.spawner.broken)]
    done, _pending = await asyncio.wait({*ends, *loops}, return_when=asyncio.FIRST_COMPLETED)
    for task in (*ends, *loops):
        task.cancel()
    for task in done:
        task.result()
    if node.spawner.broken.is_set():
        raise HelperEndedError("the helper process that starts containers has ended")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock file; the kernel releases it with the process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUseError(f"{path.parent} is in use by another process node; use another folder") from error
        yield
