"""Credentials: where they come from, and that a renewed token is picked up."""

import ssl
import time
from pathlib import Path

import kopf
import pytest
import yaml

from headrace_operator import connection
from headrace_operator.connection import Connection, NoClusterError, connect


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hides the kubeconfig of the user who runs the tests."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_without_a_cluster_it_says_what_to_set() -> None:
    with pytest.raises(NoClusterError, match="set KUBECONFIG"):
        connect()


def test_a_kubeconfig_names_server_and_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))
    made = connect()
    assert (made.server, made.headers()) == ("https://127.0.0.1:1", {"Authorization": "Bearer secret"})


@pytest.mark.parametrize(("host", "server"), [("10.96.0.1", "https://10.96.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")])
def test_in_a_pod_the_server_is_found_without_dns(monkeypatch: pytest.MonkeyPatch, host: str, server: str) -> None:
    account = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="secret")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: account)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    made = connect()
    assert (made.server, made.headers()) == (server, {"Authorization": "Bearer secret"})


def test_a_token_that_is_renewed_in_its_file_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    moment = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    token = tmp_path / "token"
    token.write_text("first\n")
    made = Connection("https://x", ssl.create_default_context(), {}, token)
    assert made.headers() == {"Authorization": "Bearer first"}
    token.write_text("second\n")
    moment[0] += connection.TOKEN_SECONDS - 1
    assert made.headers() == {"Authorization": "Bearer first"}
    moment[0] += 2
    assert made.headers() == {"Authorization": "Bearer second"}
