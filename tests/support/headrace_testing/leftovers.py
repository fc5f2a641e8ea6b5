"""What a process left behind: living processes that mention a folder, the folder itself, open ports."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def processes_mentioning(folder: Path) -> list[str]:
    """Command lines of living processes whose arguments contain the folder's path or that work in it."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.status() != psutil.STATUS_ZOMBIE and (
                any(str(folder) in word for word in words) or process.cwd().startswith(str(folder))
            ):
                found.append(" ".join(words))
        except psutil.Error:
            continue
    return found


def port_is_open(port: int) -> bool:
    """Whether something listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether the condition becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
