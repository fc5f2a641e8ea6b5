"""Requests against a scripted server: what the client sends, and what it makes of each answer."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from headrace_kube.client import MERGE_PATCH, Client
from headrace_kube.connection import Connection, connect
from headrace_kube.errors import NoAnswerError, NoClusterError, StatusError
from headrace_testing.scripted_server import Handler, connection_to, scripted_server


def asked(handler: Handler, question: Callable[[Client], Awaitable[Any]], observed: list[tuple[str, int]] | None = None) -> Any:
    """What a client makes of `handler`'s answers."""

    async def story() -> Any:
        observe = (observed if observed is not None else list[tuple[str, int]]()).append
        async with (
            scripted_server(handler) as server,
            Client(connection_to(server), "tester/1", timeout=0.5, observe=lambda *seen: observe(seen)) as client,
        ):
            return await question(client)

    return asyncio.run(story())


def test_a_request_says_who_asks_and_sends_plain_json() -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        names = ("Authorization", "User-Agent", "Accept", "Content-Type")
        seen.append((request.method, request.path_qs, [request.headers[name] for name in names], await request.json()))
        return web.json_response({"kind": "Pod"}, status=201)

    observed: list[tuple[str, int]] = []
    body = {"spec": {"gates": None, "names": []}}
    answer = asked(
        handler, lambda client: client.request("PATCH", "/api/v1/x", body, MERGE_PATCH, {"fieldSelector": "a=b"}), observed
    )
    assert answer == {"kind": "Pod"}
    assert seen == [("PATCH", "/api/v1/x?fieldSelector=a%3Db", ["Bearer t0ken", "tester/1", "application/json", MERGE_PATCH], body)]
    assert observed == [("PATCH", 201)]


def test_a_refusal_carries_the_servers_status_reason_and_words() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "reason": "NotFound", "message": 'pods "x" not found'}, status=404)

    observed: list[tuple[str, int]] = []
    with pytest.raises(StatusError, match='404: pods "x" not found') as refusal:
        asked(handler, lambda client: client.request("GET", "/api/v1/namespaces/n/pods/x"), observed)
    assert (refusal.value.status, refusal.value.reason) == (404, "NotFound")
    assert observed == [("GET", 404)]


@pytest.mark.parametrize(("text", "want"), [("upstream connect error", "upstream connect error"), ("", "no text"), ("[1]", "[1]")])
def test_a_refusal_that_is_not_from_kubernetes_is_shown_as_it_is(text: str, want: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=502, text=text)

    with pytest.raises(StatusError) as refusal:
        asked(handler, lambda client: client.request("GET", "/"))
    assert (refusal.value.reason, refusal.value.message) == ("", want)


@pytest.mark.parametrize("text", ["<html>Log in first</html>\n", "\n", '{"type": "ADDED"}\n'])
def test_a_stream_that_is_not_of_events_gives_no_answer(text: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=text)

    async def watch(client: Client) -> None:
        async for _ in client.watch("/", "1", {}):
            pass

    with pytest.raises(NoAnswerError, match="not a stream of events"):
        asked(handler, watch)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_nothing_is_sent_twice(status: int) -> None:
    requests: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.Response(status=status, headers={"Retry-After": "0"})

    with pytest.raises(StatusError):
        asked(handler, lambda client: client.request("GET", "/"))
    assert requests == ["/"]


def test_an_answer_that_takes_too_long_does_not_count() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    observed: list[tuple[str, int]] = []
    with pytest.raises(NoAnswerError, match="TimeoutError: "):
        asked(handler, lambda client: client.request("GET", "/"), observed)
    assert observed == [("GET", 0)]


def test_a_missing_server_gives_no_answer() -> None:
    async def story() -> None:
        async with Client(connection_to("http://127.0.0.1:1"), "tester") as client:
            await client.request("GET", "/")

    with pytest.raises(NoAnswerError, match="ClientConnectorError"):
        asyncio.run(story())


def test_a_request_goes_through_the_proxy() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def story() -> None:
        proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = connection_to("http://cluster.example")
        connection.configuration.proxy = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with proxy, Client(connection, "tester") as client:
            await client.request("GET", "/version")

    asyncio.run(story())
    assert seen == [b"GET http://cluster.example/version HTTP/1.1\r\n"]


def test_refused_credentials_are_reported_to_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[None] = []
    monkeypatch.setattr(Connection, "refused", lambda _connection: refused.append(None))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=401)

    with pytest.raises(StatusError):
        asked(handler, lambda client: client.request("GET", "/"))
    assert refused == [None]


def test_a_certificate_that_is_not_one_is_refused_at_once(tmp_path: Path) -> None:
    data = base64.b64encode(b"nonsense").decode()
    config = {
        "current-context": "k",
        "contexts": [{"name": "k", "context": {"cluster": "k", "user": "k"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": data}}],
        "users": [{"name": "k", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))

    async def story() -> None:
        Client(await connect(tmp_path / "kubeconfig", {}), "tester")

    with pytest.raises(NoClusterError, match=r"certificates for https://127\.0\.0\.1:1 cannot be used"):
        asyncio.run(story())
