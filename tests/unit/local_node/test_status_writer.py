import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from headrace_kube.client import JSON, Client
from headrace_kube.errors import NoAnswerError, StatusError
from headrace_local.node import status_writer
from headrace_local.node.status_writer import StatusWriter


class ScriptedApi(Client):
    """Records requests; each waits for `go`, then takes the next scripted error, if any is left."""

    def __init__(self, *errors: Exception | None) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.go = asyncio.Event()
        self.go.set()
        self._errors = list(errors)

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = JSON, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        self.sent.append((method, path, body))
        await self.go.wait()
        if self._errors and (error := self._errors.pop(0)):
            raise error
        return {}

    @property
    def phases(self) -> list[str]:
        return [body["status"]["phase"] for method, _path, body in self.sent if method == "PATCH"]


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 20)

    asyncio.run(bounded())


def writer_on(api: Client) -> StatusWriter:
    return StatusWriter(api, "n", "p", "uid-1")


def test_states_that_pass_while_a_request_is_under_way_are_skipped() -> None:
    async def test() -> None:
        api = ScriptedApi()
        api.go.clear()
        writer = writer_on(api)
        writer.put({"phase": "Pending"})
        await asyncio.sleep(0)
        writer.put({"phase": "Running"})
        writer.put({"phase": "Succeeded"})
        api.go.set()
        await writer.flush()
        assert api.phases == ["Pending", "Succeeded"]

    run(test)


def test_every_write_is_bound_to_the_pods_uid() -> None:
    async def test() -> None:
        api = ScriptedApi()
        writer = writer_on(api)
        writer.put({"phase": "Failed"})
        await writer.flush()
        await writer.delete()
        assert api.sent == [
            ("PATCH", "/api/v1/namespaces/n/pods/p/status", {"metadata": {"uid": "uid-1"}, "status": {"phase": "Failed"}}),
            ("DELETE", "/api/v1/namespaces/n/pods/p", {"gracePeriodSeconds": 0, "preconditions": {"uid": "uid-1"}}),
        ]

    run(test)


def test_a_write_is_repeated_until_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_writer, "AGAIN_SECONDS", (0.0, 0.0))

    async def test() -> None:
        api = ScriptedApi(NoAnswerError(), StatusError(503, "starting"), None)
        writer = writer_on(api)
        writer.put({"phase": "Running"})
        await writer.flush()
        assert api.phases == ["Running"] * 3

    run(test)


def test_a_pod_that_is_gone_or_replaced_is_not_written_again() -> None:
    async def test() -> None:
        for code in (404, 409, 422):
            api = ScriptedApi(StatusError(code, "no"))
            writer = writer_on(api)
            writer.put({"phase": "Running"})
            await writer.flush()
            assert api.phases == ["Running"]

    run(test)
