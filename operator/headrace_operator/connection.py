"""Where the API server is and how to prove who one is: from KUBECONFIG, else from the pod's service account.

kopf's own login functions read both; its watch streams and our requests then use the same credentials.
"""

import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import kopf

TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
TOKEN_SECONDS = 60
"""A bound token is renewed in its file long before it expires (client-go rereads it every minute, too)."""


class NoClusterError(RuntimeError):
    """Neither KUBECONFIG nor a service account tells where the API server is."""


@dataclass
class Connection:
    """A server, its certificate authority and our credentials."""

    server: str
    ssl: ssl.SSLContext
    fixed_headers: Mapping[str, str]
    token_file: Path | None = None
    _read: float = field(default=float("-inf"), repr=False)
    _token: str = field(default="", repr=False)

    def headers(self) -> Mapping[str, str]:
        """The Authorization header, if credentials are not a client certificate."""
        if self.token_file is None:
            return self.fixed_headers
        if time.monotonic() - self._read > TOKEN_SECONDS:
            self._token = self.token_file.read_text().strip()
            self._read = time.monotonic()
        return {"Authorization": f"Bearer {self._token}"}


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Credentials as kopf wants them.

    Raises:
        NoClusterError: there are none.
    """
    info = kopf.login_with_kubeconfig(settings=settings) or _login_in_pod(settings)
    if info is None:
        raise NoClusterError("no API server: set KUBECONFIG to a kubeconfig file, or run in a pod with a service account")
    return info


def _login_in_pod(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    """The service account's, at the address that kubelets tell every pod. kopf asks for a name, which needs a DNS server."""
    info = kopf.login_with_service_account(settings=settings)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if info is None or not host:
        return info
    return replace(info, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


def connect() -> Connection:
    """The connection of our own requests.

    Raises:
        NoClusterError: there is nothing to connect to.
    """
    info = login(kopf.OperatorSettings())
    in_pod = info.ca_path is not None and str(info.ca_path).startswith(str(TOKEN_FILE.parent))
    return Connection(
        server=info.server,
        ssl=info.as_ssl_context(),
        fixed_headers=info.as_http_headers(),
        token_file=TOKEN_FILE if in_pod else None,
    )
