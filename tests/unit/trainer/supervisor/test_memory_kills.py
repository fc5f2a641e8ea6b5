"""The kernel's count of out-of-memory kills, from files as the kernel writes them, and from a real cgroup if one can be made."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_trainer.supervisor.memory_kills import MemoryKills


def test_a_container_reads_its_own_cgroup_v2_at_the_root(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/kubepods/pod1/trainer\n")
    events = tmp_path / "memory.events"
    events.write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n")
    kills = MemoryKills(tmp_path, own)
    assert kills.since_start() == 0
    events.write_text("low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert kills.since_start() == 1


def test_the_closest_cgroup_counts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("4:memory:/jobs/1\n1:cpu,cpuacct:/\n0::/\n")
    folder = tmp_path / "memory/jobs/1"
    folder.mkdir(parents=True)
    (tmp_path / "memory/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    kills = MemoryKills(tmp_path, own)
    (tmp_path / "memory/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 8\n")
    assert kills.since_start() == 0
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert kills.since_start() == 2


def test_without_a_counter_it_is_unknown(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    assert MemoryKills(tmp_path, own).since_start() is None
    assert MemoryKills(tmp_path, tmp_path / "none").since_start() is None


@pytest.fixture
def limited() -> Iterator[Path]:
    """A real memory cgroup, v1 or v2, of 32 MiB."""
    for parent, limit in ((Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"), (Path("/sys/fs/cgroup"), "memory.max")):
        folder = parent / f"headrace-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(32 << 20))
            yield folder
            return
        except OSError:
            pass
        finally:
            folder.rmdir()
    pytest.skip("no memory cgroup can be made here: it needs root and a writable /sys/fs/cgroup")


_EAT = "import sys; open(sys.argv[1], 'w').write('0'); kept = [b'x' * (1 << 20) for _ in range(1000)]"


def test_the_kernel_counts_a_real_kill(limited: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    v1 = limited.parent.name == "memory"
    own.write_text(f"4:memory:/{limited.name}\n" if v1 else f"0::/{limited.name}\n")
    kills = MemoryKills(own=own)
    assert kills.since_start() == 0
    died = subprocess.run([sys.executable, "-c", _EAT, str(limited / "cgroup.procs")], check=False)
    assert died.returncode == -9
    assert kills.since_start() == 1
