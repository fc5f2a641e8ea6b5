"""Finds free TCP ports on 127.0.0.1."""

import random
import socket

# Below the range that Linux uses for outgoing connections (net.ipv4.ip_local_port_range, from 32768), so that another
# program's connection rarely takes a free port before our server listens on it.
LOWEST, HIGHEST = 20_000, 32_000

_system = random.SystemRandom()  # tests cannot seed it: two of them at once must not draw the same ports


def free_ports(count: int) -> list[int]:
    """`count` different ports that are free at this moment."""
    found: list[int] = []
    for port in _system.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"fewer than {count} ports are free between {LOWEST} and {HIGHEST} on 127.0.0.1")
