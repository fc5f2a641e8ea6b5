"""Chooses the proxy for the API server from HTTPS_PROXY and NO_PROXY, as kubectl and client-go do.

Python's own handling of NO_PROXY ignores address ranges, but "10.96.0.0/12" is how administrators usually exempt the API server
in a pod. aiohttp would also reread the environment for each request, in a thread.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}


def proxy_for(server: str, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy for this server; None to connect directly."""
    url = urlsplit(server)
    proxy = _variable(environ, f"{url.scheme}_proxy")
    if not proxy or _is_direct(url, _variable(environ, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name, "")


def _is_direct(server: SplitResult, no_proxy: str) -> bool:
    host = server.hostname or ""
    port = str(server.port or PORTS.get(server.scheme, 0))
    if host == "localhost" or ((address := _address(host)) and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, port: str) -> bool:
    """Whether an entry of NO_PROXY matches the host. It is *, an address, a range, a domain (with its subdomains) or .subdomains,
    some with `:port`."""
    if entry in ("", "*"):
        return entry == "*"
    address = _address(host)
    if network := _network(entry):
        return address is not None and address in network
    name, _, entry_port = entry.rpartition(":")
    if name and entry_port.isdigit():
        if entry_port != port:
            return False
        entry = name.strip("[]")
    if address is not None:
        return address == _address(entry)
    return host == entry or host.endswith("." + entry.removeprefix("*").removeprefix("."))


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
