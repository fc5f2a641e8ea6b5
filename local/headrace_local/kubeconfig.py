"""Writes kubeconfig files with everything embedded, so that a client needs only one file."""

import base64
from pathlib import Path
from typing import Any

import yaml

from headrace_local.certs import KeyPair


def certificate_user(pair: KeyPair) -> dict[str, str]:
    """A kubeconfig user with a client certificate."""
    return {"client-certificate-data": _base64(pair.cert), "client-key-data": _base64(pair.key)}


def token_user(token: str) -> dict[str, str]:
    """A kubeconfig user with a bearer token."""
    return {"token": token}


def write_kubeconfig(path: Path, api_url: str, ca_file: Path, user: dict[str, str]) -> Path:
    """Writes `path`, which only its owner can read, and returns it."""
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "headrace", "cluster": {"server": api_url, "certificate-authority-data": _base64(ca_file)}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "headrace", "context": {"cluster": "headrace", "user": "user"}}],
        "current-context": "headrace",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
