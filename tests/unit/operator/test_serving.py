"""Where the operator listens: on every address of its host, IPv4 and IPv6, or on the one in its settings."""

import asyncio
import errno
import socket
from typing import Any

import aiohttp
import pytest

from headrace_operator import serving
from headrace_operator.metrics import Metrics
from headrace_operator.replica import Replica
from headrace_operator.serving import Server
from headrace_operator.settings import Settings
from headrace_testing.fake_clock import FakeClock
from headrace_testing.simulated_api import SimulatedApi, SimulatedServer

HAS_IPV6 = socket.has_dualstack_ipv6()


def answered(*hosts: str, **settings: Any) -> dict[str, bool]:
    """Whether /healthz answers at each of these addresses of this machine."""

    async def story() -> dict[str, bool]:
        given = Settings(trainer_image="t", metrics_port=0, **settings)
        replica = Replica(SimulatedApi(SimulatedServer(FakeClock()), "a"), given, Metrics(), "a")
        async with Server(replica, given) as server, aiohttp.ClientSession() as session:
            port = server.runner.addresses[0][1]
            return {host: await answers(session, f"http://{host}:{port}/healthz") for host in hosts}

    return asyncio.run(story())


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_it_listens_on_both_families_at_one_port() -> None:
    assert answered("127.0.0.1", "[::1]") == {"127.0.0.1": True, "[::1]": True}


@pytest.mark.parametrize("where", ["the kernel has no IPv6", "it may not be used"])
def test_without_ipv6_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    create = socket.create_server

    def refuses(address: Any, *, family: int = socket.AF_INET, **more: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return create(address, family=family, **more)

    if where == "it may not be used":
        monkeypatch.setattr(serving.socket, "create_server", refuses)
    else:
        monkeypatch.setattr(serving.socket, "has_dualstack_ipv6", lambda: False)
    assert answered("127.0.0.1") == {"127.0.0.1": True}


def test_a_port_that_is_taken_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serving.everywhere(taken.getsockname()[1])


def test_it_listens_on_the_configured_address_and_nowhere_else() -> None:
    assert answered("127.0.0.2", "127.0.0.1", listen_host="127.0.0.2") == {"127.0.0.2": True, "127.0.0.1": False}
