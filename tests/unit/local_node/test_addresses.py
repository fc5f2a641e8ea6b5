import ipaddress
import random
import socket

import pytest

from headrace_local.node.addresses import PodAddress


def test_addresses_are_loopback_distinct_and_not_those_of_the_system() -> None:
    addresses = [PodAddress() for _ in range(50)]
    ips = {ipaddress.ip_address(address.ip) for address in addresses}
    assert len(ips) == 50
    assert all(ip.is_loopback and ip >= ipaddress.ip_address("127.2.0.0") for ip in ips)
    for address in addresses:
        address.release()


def test_a_taken_address_is_passed_over_until_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([9, 1, 1, 9, 1, 1, 9, 1, 2, 9, 1, 1])
    monkeypatch.setattr(random, "randint", lambda _low, _high: next(numbers))
    first = PodAddress()
    second = PodAddress()
    assert (first.ip, second.ip) == ("127.9.1.1", "127.9.1.2")
    first.release()
    third = PodAddress()
    assert third.ip == "127.9.1.1"
    second.release()
    third.release()


def test_a_server_can_bind_to_the_address() -> None:
    address = PodAddress()
    with socket.create_server((address.ip, 0)) as server:
        assert server.getsockname()[0] == address.ip
    address.release()
