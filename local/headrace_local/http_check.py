"""Whether a server on this machine answers."""

import ssl
import urllib.request
from contextlib import suppress


def answers(url: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a GET is answered with success within 2 s."""
    # Never by way of a proxy from the environment: all of this is on 127.0.0.1.
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)]
    with suppress(OSError), urllib.request.build_opener(*handlers).open(url, timeout=2):  # URLError is an OSError
        return True
    return False
