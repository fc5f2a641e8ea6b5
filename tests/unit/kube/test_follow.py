"""Lists and watches against a scripted HTTP server that does what a real API server does only on bad days."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from headrace_kube.client import Client
from headrace_kube.follow import follow
from headrace_testing.scripted_server import Handler, connection_to, scripted_server


def with_server(handler: Handler, test: Callable[[Client], Awaitable[None]]) -> None:
    """Runs a test with a client of a server that answers every path with one handler."""

    async def run() -> None:
        async with scripted_server(handler) as server, Client(connection_to(server), "tester") as client:
            await asyncio.wait_for(test(client), 20)

    asyncio.run(run())


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def test_a_watch_resumes_where_it_stopped_and_lists_again_only_when_it_must() -> None:
    """The script: the stream ends, a 410 as an event, a broken connection, a 410 as the status."""
    asked: list[str] = []

    def line(kind: str, item: dict[str, Any]) -> bytes:
        return json.dumps({"type": kind, "object": item}).encode() + b"\n"

    async def handler(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            asked.append("list")
            version = 10 * asked.count("list")
            return web.json_response({"metadata": {"resourceVersion": str(version)}, "items": [pod("a", version)]})
        version = request.query["resourceVersion"]
        asked.append(f"watch {version}")
        assert request.query["fieldSelector"] == "spec.nodeName=n"
        response = web.StreamResponse()
        await response.prepare(request)
        if version == "10":  # an event cut in two, a bookmark, and the orderly end of the stream
            event = line("ADDED", pod("b", 11))
            await response.write(event[:20])
            await response.write(event[20:] + line("BOOKMARK", pod("", 12)))
        elif version == "12":
            await response.write(line("ERROR", {"code": 410, "message": "too old resource version"}))
        elif version == "20":
            assert request.transport is not None
            request.transport.abort()
        elif version == "30":
            await response.write(line("DELETED", pod("a", 31)))
            await asyncio.Event().wait()
        return response

    async def test(client: Client) -> None:
        seen: list[str] = []
        done = asyncio.Event()

        async def on_list(items: list[dict[str, Any]]) -> None:
            seen.append(f"list of {len(items)}")

        def on_event(kind: str, item: dict[str, Any]) -> None:
            seen.append(f"{kind} {item['metadata']['name']}")
            if kind == "DELETED":
                done.set()

        following = asyncio.create_task(follow(client, "/api/v1/pods", on_list, on_event, {"fieldSelector": "spec.nodeName=n"}))
        await done.wait()
        following.cancel()
        assert seen == ["list of 1", "ADDED b", "list of 1", "list of 1", "DELETED a"]
        assert asked == ["list", "watch 10", "watch 12", "list", "watch 20", "list", "watch 30"]

    with_server(handler, test)


def test_a_server_that_is_away_is_asked_again() -> None:
    answers = iter([500, 503, 200])

    async def handler(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await asyncio.Event().wait()
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []}, status=next(answers))

    async def test(client: Client) -> None:
        listed = asyncio.Event()

        async def on_list(items: list[dict[str, Any]]) -> None:
            listed.set()

        following = asyncio.create_task(follow(client, "/api/v1/pods", on_list, lambda _kind, _item: None, {}))
        await listed.wait()
        following.cancel()

    with_server(handler, test)
