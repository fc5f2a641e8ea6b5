"""A memory cgroup for one trainer, v1 or v2."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")


class MemoryCgroup:
    """A cgroup whose limit can be lowered while its processes run."""

    def __init__(self, folder: Path, v1: bool) -> None:
        self.folder = folder
        self._limit = folder / ("memory.limit_in_bytes" if v1 else "memory.max")
        self._usage = folder / ("memory.usage_in_bytes" if v1 else "memory.current")

    @property
    def entrance(self) -> Path:
        """A process that writes 0 here is in."""
        return self.folder / "cgroup.procs"

    def leave_room(self, size: int) -> None:
        """From now on only `size` bytes more than in use now."""
        # Below what is in use the kernel refuses the limit on v1; what is in use changes while we look.
        for _ in range(20):
            with suppress(OSError):
                self._limit.write_text(str(int(self._usage.read_text()) + size))
                return
            time.sleep(0.01)


@contextmanager
def memory_cgroup(name: str) -> Iterator[MemoryCgroup | None]:
    """A new cgroup, removed at the end; None where none can be made."""
    made = _make(name)
    try:
        yield made
    finally:
        if made is not None:
            limit = time.monotonic() + 10
            while made.folder.exists() and time.monotonic() < limit:
                with suppress(OSError):
                    made.folder.rmdir()
                time.sleep(0.02)


def can_be_made() -> bool:
    """Whether this machine and this user have memory cgroups."""
    with memory_cgroup(f"headrace-faults-probe-{os.getpid()}") as made:
        return made is not None


def _make(name: str) -> MemoryCgroup | None:
    for parent, v1 in ((_ROOT / "memory", True), (_ROOT, False)):
        if not (parent / "cgroup.procs").exists():
            continue
        with suppress(OSError):
            (parent / name).mkdir()
            made = MemoryCgroup(parent / name, v1)
            if made._usage.exists():
                return made
            (parent / name).rmdir()
    return None
