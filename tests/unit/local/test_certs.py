"""Certificates that a TLS stack accepts for their stated purpose and nothing else."""

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from headrace_local.certs import Authority, KeyPair


def shake_hands(ca: Path, server: KeyPair, client: KeyPair, name: str) -> dict[str, object]:
    """A mutual TLS handshake over a socket pair. Returns what the server learned about the client."""
    ours, theirs = socket.socketpair()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.load_cert_chain(server.cert, server.key)
    asking = ssl.create_default_context(cafile=str(ca))
    asking.load_cert_chain(client.cert, client.key)
    learnt: dict[str, object] = {}

    def serve() -> None:
        try:
            with theirs, serving.wrap_socket(theirs, server_side=True) as connection:
                learnt.update(connection.getpeercert() or {})
                connection.sendall(b".")
        except (ssl.SSLError, OSError):
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours, asking.wrap_socket(ours, server_hostname=name) as connection:
            connection.recv(1)
    finally:
        thread.join()
    return learnt


def test_user_and_groups_are_in_the_client_certificate(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    server = ca.server("server", "server", ["127.0.0.1", "localhost"])
    client = ca.client("node", "system:node:n1", ["system:nodes"])
    learnt = shake_hands(ca.pair.cert, server, client, "127.0.0.1")
    assert learnt["subject"] == ((("organizationName", "system:nodes"),), (("commonName", "system:node:n1"),))


def test_a_server_is_not_trusted_under_another_name(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    server, client = ca.server("server", "server", ["127.0.0.1"]), ca.client("client", "client")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.2"):
        shake_hands(ca.pair.cert, server, client, "127.0.0.2")


def test_a_client_of_another_authority_is_refused(tmp_path: Path) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "etcd-ca")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake_hands(ca.pair.cert, ca.server("server", "s", ["localhost"]), other.client("client", "c"), "localhost")


def test_an_authority_is_found_again(tmp_path: Path) -> None:
    first = Authority(tmp_path, "ca")
    server = first.server("server", "server", ["localhost"])
    client = Authority(tmp_path, "ca").client("client", "later")
    assert shake_hands(first.pair.cert, server, client, "localhost")["subject"] == ((("commonName", "later"),),)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    for pair in (ca.pair, ca.client("client", "client")):
        assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600
