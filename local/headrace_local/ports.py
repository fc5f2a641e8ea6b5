"""Free TCP ports on 127.0.0.1."""

import random
import socket

# Below the range Linux takes ports of outgoing connections from (net.ipv4.ip_local_port_range, 32768 upwards): a
# port that is free now is then rarely taken by somebody's connection before our server listens on it.
LOWEST, HIGHEST = 20_000, 32_000

_system = random.SystemRandom()  # not seeded by the tests: two of them at once must not draw the same ports


def free_ports(count: int) -> list[int]:
    """`count` different ports that nothing listens on at this moment."""
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
    raise RuntimeError(f"no {count} free ports between {LOWEST} and {HIGHEST} on 127.0.0.1")
