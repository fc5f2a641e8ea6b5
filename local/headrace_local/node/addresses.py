"""Gives every pod its own address in 127.0.0.0/8, where every address belongs to this machine without set-up."""

import random
import socket

HOST_IP = "127.0.0.1"


class PodAddress:
    """A 127.x.y.z that no other process node on this machine uses while this object is open.

    The claim is a Unix socket in Linux's abstract namespace: it is exclusive on the whole machine, the kernel releases
    it with the process, and it leaves no file behind.
    """

    def __init__(self) -> None:
        while True:
            # Operating systems use addresses in 127.0.0.0/16 and 127.1.0.0/16 themselves (127.0.0.53, 127.0.1.1).
            second, third, fourth = random.randint(2, 254), random.randint(0, 255), random.randint(1, 254)
            self.ip = f"127.{second}.{third}.{fourth}"
            self._claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._claim.bind(f"\0headrace-pod-{self.ip}")
            except OSError:
                self._claim.close()
                continue
            return

    def release(self) -> None:
        self._claim.close()
