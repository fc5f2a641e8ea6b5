"""The API server as the agent needs it: JSON in, JSON out, and watches that continue whatever happens.

On aiohttp alone. The generated models of the `kubernetes` package would cost the agent 1.1 s of CPU at its start
and 25 MB (measured on 2 cores), to turn JSON into objects and back.
"""

import asyncio
import base64
import json
import logging
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from headrace_api.backoff import Backoff

logger = logging.getLogger(__name__)

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"

AGAIN_SECONDS = (0.1, 5.0)
"""The first pause and the longest before a server that does not answer is asked again."""


class ApiError(Exception):
    """The API server refused a request: HTTP status code, and its own words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """One user's connection to one API server. Open it with `async with`."""

    def __init__(self, server: str, tls: ssl.SSLContext, token: str | None) -> None:
        self._server = server
        self._tls = tls
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path) -> "Api":
        """The current context's server and user (certificates inline or as files, or a token)."""
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        authority = _material(cluster, "certificate-authority", path.parent)
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
        certificate, key = (_material(user, name, path.parent) for name in ("client-certificate", "client-key"))
        if certificate and key:
            with tempfile.NamedTemporaryFile() as pair:  # the ssl module takes files only
                pair.write(certificate + b"\n" + key)
                pair.flush()
                tls.load_cert_chain(pair.name)
        return cls(cluster["server"], tls, user.get("token"))

    async def __aenter__(self) -> "Api":
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=32),
            read_bufsize=2**21,
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        **query: str,
    ) -> dict[str, Any]:
        """One request. Raises ApiError when refused, OSError or aiohttp.ClientError when there was no answer."""
        assert self._session is not None
        async with self._session.request(
            method,
            self._server + path,
            params=query,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            timeout=aiohttp.ClientTimeout(total=30),
        ) as response:
            text = await response.text()
        if response.status >= 400:
            raise ApiError(response.status, _reason(text))
        answer: dict[str, Any] = json.loads(text)
        return answer

    async def follow(
        self,
        path: str,
        on_list: Callable[[list[dict[str, Any]]], Awaitable[None]],
        on_event: Callable[[str, dict[str, Any]], None],
        **query: str,
    ) -> None:
        """List, then watch, for ever; lists again whenever the watch cannot go on where it stopped."""
        failures = Backoff(*AGAIN_SECONDS)
        while True:
            try:
                listing = await self.request("GET", path, None, "application/json", **query)
                await on_list(listing["items"])
                version = listing["metadata"]["resourceVersion"]
                failures = Backoff(*AGAIN_SECONDS)
                while True:
                    async for kind, item in self._watch(path, version, query):
                        version = item["metadata"]["resourceVersion"]
                        if kind != "BOOKMARK":
                            on_event(kind, item)
            except (ApiError, aiohttp.ClientError, OSError) as error:
                delay = failures.next()
                logger.warning("watch of %s broke, listing again in %.1f s: %s", path, delay, error)
                await asyncio.sleep(delay)

    async def _watch(self, path: str, version: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Events since a resource version until the server ends the stream. ApiError for its ERROR event (410)."""
        assert self._session is not None
        async with self._session.get(
            self._server + path,
            params={**query, "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"},
            # Bookmarks come about once a minute: silence means the connection is dead.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=180),
        ) as response:
            if response.status >= 400:
                raise ApiError(response.status, _reason(await response.text()))
            buffer = b""
            async for chunk in response.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 500), event["object"].get("message", ""))
                    yield event["type"], event["object"]


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _material(section: Mapping[str, str], name: str, folder: Path) -> bytes | None:
    """Certificate or key of a kubeconfig: inline as `<name>-data`, or in the file `<name>` (relative to it)."""
    if data := section.get(f"{name}-data"):
        return base64.b64decode(data)
    return (folder / section[name]).read_bytes() if name in section else None


def _reason(text: str) -> str:
    """The message of the Status object in an error's body, or the body."""
    try:
        message: str = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return text
    return message
