"""What the operator costs: its CPU time per job, for 100 jobs in 10 projects on a real API server.

    python tests/bench/bench_operator.py [--json FILE] [--jobs 100] [--projects 10] [--rounds 3] [--against CHECKOUT]

The operator is a separate process. Its CPU time counts from shortly after it is ready until the last job is Done. This program
plays the users, the scheduler and the kubelet: an ungated pod becomes Ready at once, and ends once its job is Running. With
--against, it also measures the operator of another checkout, taking turns with this one: on a busy machine you can only compare
figures from the same minutes.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from headrace_api import names
from headrace_api.names import Reason, State
from headrace_api.report import Verdict
from headrace_kube.client import MERGE_PATCH, Client, Json
from headrace_kube.connection import connect
from headrace_kube.errors import StatusError
from headrace_kube.follow import follow
from headrace_local.access import ClusterAccess
from headrace_local.cluster import Cluster
from headrace_local.node.registration import keep_alive, node_object, register
from headrace_testing.builders import manifest, outcome
from headrace_testing.operators import OperatedNamespace, operated_namespace

CHECKOUT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 40
LIMIT_SECONDS = 300
SETTLE_SECONDS = 8
"""Pause before the first job, so that kopf's start is not counted."""


@dataclass
class Row:
    """One run."""

    checkout: str
    cpu_milliseconds_per_job: float
    seconds: float
    megabytes: float
    start_cpu_seconds: float
    """CPU seconds before the first job."""


class Players:
    """Users, scheduler and kubelet of one namespace."""

    def __init__(self, client: Client, namespace: str, jobs: int) -> None:
        self._client = client
        self._jobs = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{namespace}/{names.PLURAL}"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._namespace = namespace
        self._wanted = jobs
        self._done: set[str] = set()
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._node = f"bench-{namespace}"  # one per run: a node without heartbeats between runs counts as lost
        self._group: asyncio.TaskGroup | None = None
        self._watching = asyncio.Semaphore(0)
        self._all_done = asyncio.Event()

    async def play(self, projects: int, begin: Callable[[], None]) -> None:
        """Calls `begin`, then creates the jobs and runs each one, until all are Done."""
        await register(self._client, node_object(self._node, 0, {"pods": "500"}, {"headrace.dev/bench": ""}, datetime.now(UTC)))
        async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
            endless = [
                group.create_task(keep_alive(self._client, self._node, LEASE_SECONDS)),
                group.create_task(follow(self._client, self._pods, self._on_pods, self._on_pod, {})),
                group.create_task(follow(self._client, self._jobs, self._on_jobs, self._on_job, {})),
            ]
            self._group = group
            await self._watching.acquire()
            await self._watching.acquire()
            await asyncio.sleep(SETTLE_SECONDS)
            begin()
            for number in range(self._wanted):
                job = manifest(f"job-{number:03d}", f"project-{number % projects}", self._namespace)
                await self._client.request("POST", self._jobs, job)
            await self._all_done.wait()
            for task in endless:
                task.cancel()

    async def _on_pods(self, pods: list[Json]) -> None:
        self._watching.release()
        for pod in pods:
            self._on_pod("LISTED", pod)

    async def _on_jobs(self, jobs: list[Json]) -> None:
        self._watching.release()
        for job in jobs:
            self._on_job("LISTED", job)

    def _on_pod(self, kind: str, pod: Json) -> None:
        name = pod["metadata"]["name"]
        if kind != "DELETED" and not pod["spec"].get("schedulingGates") and name not in self._begun:
            self._begun.add(name)
            self._start(self._begin(name))
        elif kind == "MODIFIED" and _is_declared_unready(pod) and name not in self._ended:
            self._start(self._insist(name))

    def _on_job(self, _kind: str, job: Json) -> None:
        name, state = job["metadata"]["name"], job.get("status", {}).get("state")
        if state == State.RUNNING and f"{name}-1" not in self._ended:
            self._ended.add(f"{name}-1")
            self._start(self._end(f"{name}-1"))
        if state == State.DONE:
            self._done.add(name)
            if len(self._done) == self._wanted:
                self._all_done.set()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        assert self._group is not None
        self._group.create_task(work)

    async def _begin(self, name: str) -> None:
        binding = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": self._node}}
        await self._client.request("POST", f"{self._pods}/{name}/binding", binding)
        await self._run(name)

    async def _insist(self, name: str) -> None:
        try:
            await self._run(name)
        except StatusError as error:
            if error.status != 422:  # its end came first
                raise

    async def _run(self, name: str) -> None:
        await self._container(name, "Running", {"running": {"startedAt": _now()}}, ready=True)

    async def _end(self, name: str) -> None:
        message = outcome(Verdict.DONE, Reason.REACHED_MAX_ITERATIONS, iteration=10)
        ended = {"exitCode": 0, "reason": "Completed", "message": message, "startedAt": _now(), "finishedAt": _now()}
        await self._container(name, "Succeeded", {"terminated": ended}, ready=False)

    async def _container(self, name: str, phase: str, state: Json, ready: bool) -> None:
        container = {"name": names.CONTAINER, "state": state, "ready": ready, "restartCount": 0, "image": "i", "imageID": ""}
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
        status = {"phase": phase, "containerStatuses": [container], "conditions": [condition]}
        await self._client.request("PATCH", f"{self._pods}/{name}/status", {"status": status}, MERGE_PATCH)


def _is_declared_unready(pod: Json) -> bool:
    """Whether the node controller, which is slow to see that a new node is Ready, took the pod's readiness away."""
    conditions = {condition["type"]: condition["status"] for condition in pod["status"].get("conditions", ())}
    return pod["status"]["phase"] == "Running" and conditions.get("Ready") == "False"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def measure(cluster: ClusterAccess, checkout: Path, jobs: int, projects: int) -> Row:
    """One operator on its own namespace."""
    with operated_namespace(cluster) as operated:
        path = os.pathsep.join(str(checkout / folder) for folder in ("crds", "operator"))
        pid = operated.start({"PYTHONPATH": path}).pid
        operator = psutil.Process(pid)
        before, began = 0.0, 0.0

        def begin() -> None:
            nonlocal before, began
            before, began = _cpu(operator), time.monotonic()

        asyncio.run(_play(cluster, operated, jobs, projects, begin))
        seconds, cpu = time.monotonic() - began, _cpu(operator) - before
        return Row(str(checkout), 1000 * cpu / jobs, seconds, operator.memory_info().rss / 1e6, before)


async def _play(cluster: ClusterAccess, operated: OperatedNamespace, jobs: int, projects: int, begin: Callable[[], None]) -> None:
    async with Client(await connect(cluster.kubeconfig, environ={}), "bench") as client:
        await Players(client, operated.name, jobs).play(projects, begin)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description="What the operator costs per job.")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--projects", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="a checkout whose operator is measured in turns with this one's")
    options = parser.parse_args()
    checkouts = [CHECKOUT, *([options.against.absolute()] if options.against else [])]
    with Cluster(scheduler=False, s3=False) as cluster:
        rows = []
        for number in range(options.rounds):
            for checkout in checkouts if number % 2 == 0 else reversed(checkouts):
                rows.append(measure(cluster, checkout, options.jobs, options.projects))
                print(asdict(rows[-1]), file=sys.stderr, flush=True)
    title = f"{options.jobs} jobs in {options.projects} projects, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    _print_table(title, rows)
    if options.json:
        options.json.write_text(json.dumps({"title": title, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def _print_table(title: str, rows: list[Row]) -> None:
    table = Table("operator of", "runs", "cpu ms/job: least", "median", "most", "seconds", "MB", "cpu s to start", title=title)
    for checkout in dict.fromkeys(row.checkout for row in rows):
        runs = [row for row in rows if row.checkout == checkout]
        cpu = [row.cpu_milliseconds_per_job for row in runs]
        figures = f"{min(cpu):.1f}", f"{statistics.median(cpu):.1f}", f"{max(cpu):.1f}"
        seconds, start = (statistics.median(getattr(row, name) for row in runs) for name in ("seconds", "start_cpu_seconds"))
        megabytes = max(row.megabytes for row in runs)
        table.add_row(checkout, str(len(runs)), *figures, f"{seconds:.1f}", f"{megabytes:.0f}", f"{start:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
