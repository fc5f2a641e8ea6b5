"""kopf gets the credentials that our own requests use."""

import asyncio
from pathlib import Path

import kopf
import pytest
import yaml

from headrace_kube.errors import NoClusterError
from headrace_operator.connection import login


def logged_in(monkeypatch: pytest.MonkeyPatch, folder: Path, user: dict[str, str]) -> kopf.ConnectionInfo:
    """What kopf gets of a kubeconfig with this user."""
    cluster = {"server": "https://api.example", "insecure-skip-tls-verify": True, "proxy-url": "http://proxy:3128"}
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(folder / "config"))
    return asyncio.run(login())


def test_server_proxy_and_token_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = logged_in(monkeypatch, tmp_path, {"token": "secret"})
    assert (info.server, info.insecure, info.proxy_url) == ("https://api.example", True, "http://proxy:3128")
    assert info.as_http_headers() == {"Authorization": "Bearer secret"}


def test_a_name_and_password_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = logged_in(monkeypatch, tmp_path, {"username": "ann", "password": "p"})
    assert info.as_http_headers() == {"Authorization": "Basic YW5uOnA="}


def test_a_client_certificate_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("crt", "key"):
        (tmp_path / name).touch()
    info = logged_in(monkeypatch, tmp_path, {"client-certificate": "crt", "client-key": "key"})
    assert (info.certificate_path, info.private_key_path) == (str(tmp_path / "crt"), str(tmp_path / "key"))
    assert info.as_http_headers() == {}


def test_without_a_cluster_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NoClusterError, match="set KUBECONFIG"):
        asyncio.run(login())
