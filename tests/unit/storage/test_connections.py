"""The connections to a store on slow and dead lines."""

import socket
from collections.abc import Iterator

import pytest
import urllib3

from headrace_storage.connections import connection_pools
from headrace_storage.traffic import Traffic
from headrace_testing.fake_s3 import fake_s3
from headrace_testing.faulty_proxy import faulty_proxy

BODY = bytes(1 << 20)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It accepts connections, and reads nothing."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_body_may_take_longer_than_the_time_without_a_byte() -> None:
    traffic = Traffic()
    with fake_s3() as s3, faulty_proxy(s3.endpoint) as proxy:
        proxy.upload_rate = 1 << 20
        answer = connection_pools(traffic, 1, stall_seconds=0.4).request("PUT", f"{proxy.endpoint}/bucket/key", body=BODY)
    assert answer.status < 500
    assert traffic.sent_bytes > len(BODY)


def test_a_line_on_which_nothing_moves_is_given_up(silent_server: str) -> None:
    traffic = Traffic()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        connection_pools(traffic, 1, stall_seconds=0.2).request("PUT", f"{silent_server}/bucket/key", body=bytes(32 << 20))
    assert 0 < traffic.sent_bytes < 32 << 20
