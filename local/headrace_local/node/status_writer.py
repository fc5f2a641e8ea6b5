"""Sends a pod's status to the API server: only the newest, one request at a time, until it arrives."""

import asyncio
import logging
from typing import Any

from headrace_api.backoff import Backoff
from headrace_kube.client import JSON, STRATEGIC_MERGE_PATCH, Client
from headrace_kube.errors import KubeError, StatusError
from headrace_kube.follow import AGAIN_SECONDS

logger = logging.getLogger(__name__)


class StatusWriter:
    """Writes the status of one pod. Like a kubelet, it skips states that pass while a request is under way."""

    def __init__(self, api: Client, namespace: str, name: str, uid: str) -> None:
        self._api = api
        self._pod = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self._uid = uid
        self._wanted: dict[str, Any] | None = None
        self._writing: asyncio.Task[None] | None = None

    def put(self, status: dict[str, Any]) -> None:
        """Schedule this status to be written."""
        self._wanted = status
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Wait until everything put so far has been written (or the pod is gone)."""
        while self._writing is not None and not self._writing.done():
            await asyncio.shield(self._writing)

    async def delete(self) -> None:
        """Tell the API server that nothing of the pod is left, which ends its graceful deletion."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}}
        await self._send("DELETE", self._pod, body, JSON)

    async def _write(self) -> None:
        while self._wanted is not None:
            status, self._wanted = self._wanted, None
            # With the uid, the server refuses the patch if a new pod has taken the name.
            patch = {"metadata": {"uid": self._uid}, "status": status}
            await self._send("PATCH", f"{self._pod}/status", patch, STRATEGIC_MERGE_PATCH)

    async def _send(self, method: str, path: str, body: dict[str, Any], content_type: str) -> None:
        """Repeat a request until the server answers it; give up when the pod is gone or not ours."""
        failures = Backoff(*AGAIN_SECONDS)
        while True:
            try:
                await self._api.request(method, path, body, content_type)
                return
            except KubeError as error:
                if isinstance(error, StatusError):
                    if error.status in (404, 409):
                        return
                    if error.status in (400, 403, 422):
                        logger.error("%s %s refused: %s", method, path, error)
                        return
                delay = failures.next()
                logger.warning("%s %s failed; trying again in %.1f s: %s", method, path, delay, error)
            await asyncio.sleep(delay)
