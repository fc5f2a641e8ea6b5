"""A reverse proxy in front of the real API server that answers some requests as an overloaded server would."""

import asyncio
import random
import ssl
import threading
from collections import Counter
from types import TracebackType

import aiohttp
from aiohttp import web

ANSWERS = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


class BusyApiServer:
    """Serves plain HTTP on `url`. A share of the requests gets 429, 500 or 503; half of those are carried out anyway.

    That makes retries hard, because the caller cannot know which. The seed and the order of requests decide which fail. Watches
    pass through unharmed: kopf handles those itself.
    """

    def __init__(self, target: str, ca_file: str, share: float, seed: int) -> None:
        self.target = target
        self.ca_file = ca_file
        self.share = share
        self.random = random.Random(seed)
        self.struck: Counter[int] = Counter()
        """How many requests were answered with each code."""
        self.url = ""
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> "BusyApiServer":
        self._thread.start()
        assert self._started.wait(10), "the proxy did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self.ca_file))
        application = web.Application(client_max_size=4 << 20)
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(self.target, connector=connector, auto_decompress=False) as self._session:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://127.0.0.1:{1}".format(*runner.addresses[0])
            self._started.set()
            await self._ending.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        watching = "watch" in request.query
        code = self.random.choice(list(ANSWERS)) if not watching and self.random.random() < self.share else None
        if code is not None and self.random.random() < 0.5:
            return self._busy(code)
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")}
        timeout = aiohttp.ClientTimeout(total=None)
        asked = self._session.request(
            request.method, request.rel_url, data=body or None, headers=headers, timeout=timeout, skip_auto_headers=["Content-Type"]
        )
        async with asked as answer:
            if code is not None:
                return self._busy(code)
            if request.transport is None or request.transport.is_closing():
                return web.Response(status=499)  # the caller has gone
            told = {name: answer.headers[name] for name in ("Content-Type", "Content-Encoding") if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=told)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            return response

    def _busy(self, code: int) -> web.Response:
        self.struck[code] += 1
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": ANSWERS[code],
            "message": "busy",
        }
        return web.json_response(status, status=code, headers={"Retry-After": "1"} if code == 429 else None)
