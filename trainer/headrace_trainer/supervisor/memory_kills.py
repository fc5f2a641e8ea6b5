"""Whether the kernel killed a process because memory ran out: it counts such kills per cgroup.

A SIGKILL alone does not say who sent it. Without the kernel's word, "out of memory" would be a guess, and its advice wrong.
"""

from pathlib import Path
from typing import Final

_COUNTER: Final = "oom_kill"


class MemoryKills:
    """The kernel's counter for the cgroup of this process, compared with its value at the start.

    `root` is where cgroups are mounted, `own` is the list of cgroups that the process is in.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> None:
        self._files = _counters(root, own)
        self._before = self._read()

    def since_start(self) -> int | None:
        """How many processes the kernel has killed for memory since this object was made; None if it does not tell."""
        before, now = self._before, self._read()
        return None if before is None or now is None else max(0, now - before)

    def _read(self) -> int | None:
        for file in self._files:
            try:
                lines = file.read_text().splitlines()
            except OSError:
                continue
            for name, _, value in (line.partition(" ") for line in lines):
                if name == _COUNTER and value.strip().isdecimal():
                    return int(value)
        return None


def _counters(root: Path, own: Path) -> list[Path]:
    """The files that may hold the counter, of cgroup v2 and of v1, the closest first.

    In a container, its own cgroup is mounted at the root, and the path in /proc may be that of the host.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    files = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if not controllers:
            files += [root / path.lstrip("/") / "memory.events", root / "memory.events"]
        elif "memory" in controllers.split(","):
            files += [root / "memory" / path.lstrip("/") / "memory.oom_control", root / "memory" / "memory.oom_control"]
    return files
