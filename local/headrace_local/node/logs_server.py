"""Serves `kubectl logs`: the kubelet's /containerLogs over HTTPS, for callers with a certificate of the cluster.

The API server is the only caller, and it has already authorized `pods/log` for its user.
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from headrace_local.node.container_logs import LogQuery, render, select
from headrace_local.node.container_runner import ContainerRunner
from headrace_local.node.pod_runner import PodRunner
from headrace_local.node.status import Terminated, Waiting

# A file does not announce new lines, so followers poll it this often.
FOLLOW_SECONDS = 0.1

FindPod = Callable[[str, str], PodRunner | None]


class LogsServer:
    """Serves on a free port of 127.0.0.1 between `start` and `close`."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path, find_pod: FindPod) -> None:
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca))
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._tls.load_cert_chain(certificate, key)
        self._find_pod = find_pod
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        # Followers of a log must not delay the agent's shutdown.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def start(self, host: str) -> int:
        """Start serving; returns the port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0, ssl_context=self._tls).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        pod, name = request.match_info["pod"], request.match_info["container"]
        runner = self._find_pod(request.match_info["namespace"], pod)
        container = runner.container(name) if runner else None
        if runner is None or container is None:
            raise web.HTTPNotFound(text=f'container "{name}" of pod "{pod}" is not on this node')
        number = _run_number(container, pod, previous=request.query.get("previous") == "true")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        limit = int(request.query["limitBytes"]) if "limitBytes" in request.query else None
        path = runner.context.log_path(name, number)
        follow = request.query.get("follow") == "true"
        with path.open("rb") as log:
            query = _log_query(request)
            for text in select(log, query):
                part = text if limit is None else text[:limit]
                await response.write(part)
                limit = None if limit is None else limit - len(part)
                if limit == 0:
                    return response
            while follow:
                over = _run_is_over(container, number)  # checked before reading, because nothing is written after the end
                for line in log:
                    await response.write(render(line, query.timestamps))
                if over:
                    break
                await asyncio.sleep(FOLLOW_SECONDS)
        return response


def _run_number(container: ContainerRunner, pod: str, *, previous: bool) -> int:
    """Which start of the container the request means; an HTTP error in the kubelet's words if there was none."""
    record = container.record
    waiting = isinstance(record.state, Waiting)
    if previous:
        # While the container waits for a restart, its last run is still the newest.
        number = record.restarts - 1
        if number < 0:
            raise web.HTTPBadRequest(text=f'previous terminated container "{record.name}" in pod "{pod}" not found')
        return number
    if waiting and record.last is None:
        assert isinstance(record.state, Waiting)
        reason = record.state.reason
        raise web.HTTPBadRequest(text=f'container "{record.name}" in pod "{pod}" is waiting to start: {reason}')
    return record.restarts


def _run_is_over(container: ContainerRunner, number: int) -> bool:
    record = container.record
    return record.restarts > number or isinstance(record.state, Terminated | Waiting)


def _log_query(request: web.Request) -> LogQuery:
    query = request.query
    since = None
    if "sinceSeconds" in query:
        since = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
    elif "sinceTime" in query:
        since = datetime.fromisoformat(query["sinceTime"])
    return LogQuery(
        tail=int(query["tailLines"]) if "tailLines" in query else None,
        since=since,
        timestamps=query.get("timestamps") == "true",
    )
