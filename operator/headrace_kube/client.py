"""Sends requests and opens watches over one connection pool: JSON in, JSON out.

It has no client-side rate limit (client libraries default to 5 to 50 requests/s) and does not retry: the server answers 429 when it
is overloaded, and the callers know best what to retry.
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config import ConfigException

from headrace_kube.connection import Connection
from headrace_kube.errors import NoAnswerError, NoClusterError, StatusError

Json = dict[str, Any]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

SILENCE_SECONDS = 180
"""Bookmarks arrive about once a minute, so a watch that receives nothing for this long is dead."""
CONNECT_SECONDS = 10

Observe = Callable[[str, int], None]
"""Called after every request with its method and HTTP status (0: no response)."""


class Client:
    """Use it as an async context manager.

    Args:
        timeout: seconds within which a request must receive its whole response.
        connections: how many requests can be in flight at once; the others wait.

    Raises:
        NoClusterError: the connection's certificates cannot be used.
    """

    def __init__(
        self,
        connection: Connection,
        user_agent: str,
        timeout: float = 30,
        connections: int = 64,
        observe: Observe = lambda _method, _status: None,
    ) -> None:
        configuration = connection.configuration
        configuration.connection_pool_maxsize = connections
        # With trust_env, aiohttp looks for a .netrc and for proxies before each request, in a thread; `connect` has already chosen
        # the proxy.
        configuration.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
        try:
            self._api = ApiClient(configuration)
        except (ssl.SSLError, OSError) as error:
            raise NoClusterError(f"the certificates for {connection.server} cannot be used: {error}") from error
        self._connection = connection
        self._headers = {"User-Agent": user_agent, "Accept": JSON}
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._observe = observe

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """Sends one request and returns the object in the response, or {} if there is none.

        Raises:
            StatusError: the server refused the request.
            NoAnswerError: the server did not answer.
        """
        try:
            response = await self._send(method, path, within=self._timeout, query=query, body=body, content_type=content_type)
            content = await response.read()
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            self._observe(method, 0)
            raise NoAnswerError(f"{type(error).__name__}: {error or 'no answer in time'}") from error
        self._observe(method, response.status)
        if response.status >= 400:
            raise self._refusal(response.status, content)
        return _parse(content)

    async def watch(self, path: str, version: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, Json]]:
        """Yields each event's type and object, from a resource version on and with bookmarks, until the server ends the stream.

        Raises:
            StatusError: the server refused the watch, or ended it with an ERROR event (410: the version is too old).
            NoAnswerError: the connection broke, or what came is not a stream of events.
        """
        query = {**query, "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        within = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            response = await self._send("GET", path, within=within, query=query)
            try:
                if response.status >= 400:
                    raise self._refusal(response.status, await response.read())
                async for event in _events(response.response.content):
                    yield event
            finally:
                response.response.close()
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise NoAnswerError(f"{type(error).__name__}: {error or 'silence'}") from error
        except (ValueError, KeyError, TypeError) as error:  # a proxy's page, say
            raise NoAnswerError(f"the answer is not a stream of events: {type(error).__name__}: {error}") from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        within: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> RESTResponse:
        headers = {**self._headers, "Content-Type": content_type}
        if authorization := await self._connection.authorization():
            headers["Authorization"] = authorization
        url = f"{self._connection.server}{path}"
        if query:
            url += f"?{urlencode(query)}"
        return await self._api.call_api(method, url, headers, body, _request_timeout=within)

    def _refusal(self, status: int, content: bytes) -> StatusError:
        if status == 401:
            self._connection.refused()
        answer = _parse(content)
        message = answer.get("message") or content[:200].decode(errors="replace") or "no text"
        return StatusError(status, answer.get("reason", ""), message)


async def _events(stream: aiohttp.StreamReader) -> AsyncIterator[tuple[str, Json]]:
    buffer = b""
    async for chunk in stream.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            event = json.loads(line)
            found = event["object"]
            if event["type"] == "ERROR":
                raise StatusError(found.get("code", 500), found.get("reason", ""), found.get("message", ""))
            yield event["type"], found


def _parse(content: bytes) -> Json:
    try:
        answer: Any = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
