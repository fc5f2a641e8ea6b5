"""The client against a scripted HTTP server: what a real API server does only on bad days."""

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from headrace_local.node.api import Api, ApiError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def with_server(handler: Handler, test: Callable[[Api], Awaitable[None]]) -> None:
    """Run a test with a client of a server that answers every path by one handler."""

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            async with Api(f"http://127.0.0.1:{port}", ssl.create_default_context(), token="t0ken") as api:
                await asyncio.wait_for(test(api), 20)
        finally:
            await runner.cleanup()

    asyncio.run(run())


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def test_a_refusal_carries_the_servers_code_and_words() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer t0ken"
        return web.json_response({"kind": "Status", "message": 'pods "x" not found'}, status=404)

    async def test(api: Api) -> None:
        with pytest.raises(ApiError, match='404: pods "x" not found') as refusal:
            await api.request("GET", "/api/v1/namespaces/n/pods/x")
        assert refusal.value.code == 404

    with_server(handler, test)


def test_a_watch_goes_on_where_it_stopped_and_lists_again_only_when_it_must() -> None:
    """Scripted: an end of the stream, a 410 as an event, a broken connection, a 410 as the status."""
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

    async def test(api: Api) -> None:
        seen: list[str] = []
        done = asyncio.Event()

        async def on_list(items: list[dict[str, Any]]) -> None:
            seen.append(f"list of {len(items)}")

        def on_event(kind: str, item: dict[str, Any]) -> None:
            seen.append(f"{kind} {item['metadata']['name']}")
            if kind == "DELETED":
                done.set()

        following = asyncio.create_task(api.follow("/api/v1/pods", on_list, on_event, fieldSelector="spec.nodeName=n"))
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

    async def test(api: Api) -> None:
        listed = asyncio.Event()

        async def on_list(items: list[dict[str, Any]]) -> None:
            listed.set()

        following = asyncio.create_task(api.follow("/api/v1/pods", on_list, lambda _kind, _item: None))
        await listed.wait()
        following.cancel()

    with_server(handler, test)


def test_a_kubeconfig_names_server_and_token_of_its_current_context(tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        return web.json_response({})

    async def test(api: Api) -> None:
        config = {
            "current-context": "second",
            "contexts": [
                {"name": "first", "context": {"cluster": "x", "user": "x"}},
                {"name": "second", "context": {"cluster": "c", "user": "u"}},
            ],
            "clusters": [{"name": "c", "cluster": {"server": api._server}}],
            "users": [{"name": "u", "user": {"token": "other"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        async with Api.from_kubeconfig(path) as second:
            await second.request("GET", "/")

    with_server(handler, test)
    assert seen == ["Bearer other"]


def test_a_certificate_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    data = base64.b64encode(b"nonsense").decode()
    config = {
        "current-context": "k",
        "contexts": [{"name": "k", "context": {"cluster": "k", "user": "k"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": data}}],
        "users": [{"name": "k", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    with pytest.raises(ssl.SSLError):
        Api.from_kubeconfig(tmp_path / "kubeconfig")
