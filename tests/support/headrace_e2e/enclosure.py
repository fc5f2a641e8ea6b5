"""Encloses the node: gives it its own network and mount namespaces on this machine, and one tree of cgroups.

Those namespaces hold whatever a kubelet, containerd and kube-proxy leave behind (mounts, bridges, links, iptables rules), and
the kernel removes it all with the last process in them. That works even if the tests are killed with SIGKILL, because the janitor
kills those processes. The kernel does not immediately remove two things: empty cgroups, and this machine's end of the cable (a
network namespace outlives its last process by minutes while connections close). We remove these at the end or, after a SIGKILL, at
the next start. A machine has only one enclosure: the caller holds a lock.
"""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from headrace_e2e.requirements import PATH
from headrace_local.processes import Process
from headrace_local.waiting import wait_until

POD_RANGE = "10.231.0.0/16"
ADDRESS = "10.231.0.1"
"""The node's address, on the pods' bridge; API server, S3, registry and Prometheus listen there too."""
BRIDGE = "cni0"
LINK = "headrace-e2e"
"""This machine's end of the cable into the enclosure."""
LINK_HERE, LINK_THERE = "169.254.231.1", "169.254.231.2"

CGROUP = "headrace-e2e"
CGROUPS = Path("/sys/fs/cgroup")

FIXED_PATHS = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods")
"""Paths that the kubelet, containerd and its shims always use. In the enclosure, they are in the cluster's folder."""
KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Settings that a kubelet changes for the whole machine. In the enclosure, these are plain files; this machine's don't change."""


class Enclosure:
    """The namespaces of one node.

    Args:
        holder: the process that keeps the namespaces open; see `HOLDER`.
        folder: holds everything written to `FIXED_PATHS`.
    """

    HOLDER = ("unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity")

    def __init__(self, holder: Process, folder: Path) -> None:
        self.holder = holder
        self.folder = folder
        self.prefix = ["nsenter", f"--target={holder.pid}", "--net", "--mount", "--"]
        self._made_here: list[Path] = []

    def furnish(self) -> None:
        """Sets up network, folders and cgroups. After that, put `prefix` before a command line to run it in the enclosure."""
        wait_until(self._is_apart, "the enclosure's namespaces", 5, self.holder.check)
        self._connect()
        for path in map(Path, FIXED_PATHS):
            mine = self.folder / path.relative_to("/")
            mine.mkdir(parents=True, exist_ok=True)
            self._make(path)
            self.run("mount", "--bind", str(mine), str(path))
        self._shield_kernel_settings()
        remove_cgroups()
        for tree in _cgroup_trees():
            (tree / CGROUP).mkdir()

    def run(self, *command: str) -> str:
        """Runs a command in the enclosure and returns its output.

        Raises:
            RuntimeError: it failed.
        """
        return _run(*self.prefix, *command)

    def leave(self) -> None:
        """Removes the cgroups, the cable, and the empty folders that were mount points. Call it after the last process ends."""
        remove_cgroups()
        remove_link()
        for path in reversed(self._made_here):
            with suppress(OSError):  # something else is using it
                path.rmdir()

    def _make(self, folder: Path) -> None:
        """Creates a folder and its parents on this machine; `leave` removes those that did not exist."""
        missing = [path for path in (*reversed(folder.parents), folder) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._made_here += missing

    def _shield_kernel_settings(self) -> None:
        copies = self.folder / "sysctl"
        copies.mkdir()
        for name in KERNEL_SETTINGS:
            setting, copy = Path("/proc/sys", name), copies / name.replace("/", ".")
            if setting.exists():
                copy.write_text(setting.read_text())
                self.run("mount", "--bind", str(copy), str(setting))

    def _is_apart(self) -> bool:
        process = Path("/proc", str(self.holder.pid))
        with suppress(OSError):
            return process.joinpath("ns/net").readlink() != Path("/proc/self/ns/net").readlink() and (
                process.joinpath("comm").read_text().strip() == "sleep"
            )
        return False

    def _connect(self) -> None:
        """Sets up a cable from this machine into the enclosure, the pods' bridge, and a route to the pods."""
        remove_link()
        _run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "outside", "netns", str(self.holder.pid))
        _run("ip", "address", "add", f"{LINK_HERE}/30", "dev", LINK)
        _run("ip", "link", "set", LINK, "up")
        for there in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{LINK_THERE}/30", "dev", "outside"),
            ("link", "set", "outside", "up"),
            # The CNI plugin uses a bridge that already exists, so servers can listen on its address before the first pod.
            ("link", "add", BRIDGE, "type", "bridge"),
            ("address", "add", f"{ADDRESS}/16", "dev", BRIDGE),
            ("link", "set", BRIDGE, "up"),
        ):
            self.run("ip", *there)
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        _run("ip", "route", "add", POD_RANGE, "via", LINK_THERE, "src", LINK_HERE)


def remove_link() -> None:
    """Removes this machine's end of the cable, if it exists; the other end goes with it."""
    if Path("/sys/class/net", LINK).exists():
        _run("ip", "link", "delete", LINK)


def remove_cgroups() -> None:
    """Removes the node's cgroups, which must be empty."""
    for tree in _cgroup_trees():
        for folder, _, _ in os.walk(tree / CGROUP, topdown=False):
            Path(folder).rmdir()


def _cgroup_trees() -> list[Path]:
    """The cgroup trees: one per controller in version 1, a single one in version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [tree for tree in sorted(CGROUPS.iterdir()) if tree.is_dir() and not tree.is_symlink()]


def _run(*command: str) -> str:
    completed = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": PATH})
    if completed.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed: {(completed.stderr or completed.stdout).strip()}")
    return completed.stdout
