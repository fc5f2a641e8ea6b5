"""`Client` for programs without an event loop: `make up`, the demo and the tests' fixtures."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from headrace_kube.client import JSON, Client, Json
from headrace_kube.connection import connect
from headrace_kube.errors import StatusError


class BlockingClient:
    """Use it as a context manager, in one thread. It connects directly, past any proxy.

    Raises:
        NoClusterError: the kubeconfig cannot be used.
    """

    def __init__(self, kubeconfig: Path, user_agent: str) -> None:
        self._runner = asyncio.Runner()
        try:
            self._client = self._runner.run(_open(kubeconfig, user_agent))
        except BaseException:
            self._runner.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(self._client.__aexit__())

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """Does the same as `Client.request`."""
        return self._runner.run(self._client.request(method, path, body, content_type, query))

    def find(self, path: str) -> Json | None:
        """Returns the object at this path, or None if it does not exist."""
        try:
            return self.request("GET", path)
        except StatusError as error:
            if error.status != 404:
                raise
            return None


async def _open(kubeconfig: Path, user_agent: str) -> Client:
    return Client(await connect(kubeconfig, environ={}), user_agent)
