"""Checks whether a server on this machine answers."""

import ssl
import urllib.request
from contextlib import suppress


def answers(url: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a GET succeeds within 2 s."""
    # Never through a proxy from the environment: all servers are on 127.0.0.1.
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)]
    with suppress(OSError), urllib.request.build_opener(*handlers).open(url, timeout=2):  # URLError is an OSError
        return True
    return False
