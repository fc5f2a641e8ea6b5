"""An HTTP server on a free port that answers every path with one handler, in the test's own event loop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from kubernetes.aio.client import Configuration

from headrace_kube.connection import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def scripted_server(handler: Handler) -> AsyncIterator[str]:
    """Its URL, while it runs."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def connection_to(server: str, token: str = "t0ken") -> Connection:
    """A connection with a token that never changes."""
    return Connection(Configuration(host=server, api_key={"BearerToken": f"Bearer {token}"}))
