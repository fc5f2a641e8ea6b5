"""Serves /metrics for Prometheus, and /healthz (the event loop runs) and /readyz (the replica works) for the kubelet."""

import errno
import logging
import socket

from aiohttp import web
from prometheus_client import generate_latest

from headrace_operator.replica import Replica
from headrace_operator.settings import Settings

logger = logging.getLogger(__name__)


NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def everywhere(port: int) -> socket.socket:
    """Listens on all addresses of the host: a cluster's pods may have IPv4, IPv6 or both.

    Uses one socket for both families, not one each like asyncio: with port 0 those would get different ports.
    """
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in NO_IPV6:
                raise
    return socket.create_server(("", port))


class Server:
    """An HTTP server on the operator's own event loop, so that a hanging loop does not answer /healthz. Async context manager."""

    def __init__(self, replica: Replica, settings: Settings) -> None:
        self.replica = replica
        self.settings = settings
        application = web.Application()
        application.add_routes(
            [web.get("/metrics", self._metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        )
        self.runner = web.AppRunner(application, access_log=None)

    async def __aenter__(self) -> "Server":
        await self.runner.setup()
        port = self.settings.metrics_port
        if self.settings.listen_host:
            await web.TCPSite(self.runner, self.settings.listen_host, port).start()
        else:
            await web.SockSite(self.runner, everywhere(port)).start()
        host, port = self.runner.addresses[0][:2]
        logger.info("serving /metrics, /healthz and /readyz on %s:%d", f"[{host}]" if ":" in host else host, port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.replica.metrics.registry), content_type="text/plain", charset="utf-8")

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self.replica.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="waiting for the cluster to be ready or for the first LIST; the log says which\n")
