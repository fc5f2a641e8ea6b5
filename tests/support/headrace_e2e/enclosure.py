"""Where the node lives: a network and a mount namespace of its own on this machine, and one tree of cgroups.

What a kubelet, containerd and kube-proxy leave behind (mounts, bridges, links, iptables rules) lies in those namespaces, and the
kernel removes all of it with the last process in them. That holds after a SIGKILL of the tests too: the janitor kills those.
What it does not remove at once, empty cgroups and this machine's end of the cable (a network namespace lives for minutes after its
last process, for connections that close), goes at the end or, after a SIGKILL, at the next start. One enclosure a machine: the
caller holds a lock.
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
"""The node's, on the bridge of the pods: API server, S3, registry and Prometheus listen there too."""
BRIDGE = "cni0"
LINK = "headrace-e2e"
"""This machine's end of the cable into the enclosure."""
LINK_HERE, LINK_THERE = "169.254.231.1", "169.254.231.2"

CGROUP = "headrace-e2e"
CGROUPS = Path("/sys/fs/cgroup")

FIXED_PATHS = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods")
"""Paths that kubelet, containerd and its shims use whatever they are told. In the enclosure they lie in the cluster's folder."""
KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""What a kubelet sets for the whole machine. In the enclosure these are mere files: this machine's stay as they are."""


class Enclosure:
    """The namespaces of one node.

    Args:
        holder: the process that keeps them open; see `HOLDER`.
        folder: takes what is written to `FIXED_PATHS`.
    """

    HOLDER = ("unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity")

    def __init__(self, holder: Process, folder: Path) -> None:
        self.holder = holder
        self.folder = folder
        self.prefix = ["nsenter", f"--target={holder.pid}", "--net", "--mount", "--"]
        self._made_here: list[Path] = []

    def furnish(self) -> None:
        """Network, folders and cgroups, until programs can be started with `prefix` before their command lines."""
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
        """Runs a command in the enclosure and returns what it says.

        Raises:
            RuntimeError: it failed.
        """
        return _run(*self.prefix, *command)

    def leave(self) -> None:
        """After the last process is gone: cgroups, the cable, and the empty folders that were mounted on."""
        remove_cgroups()
        remove_link()
        for path in reversed(self._made_here):
            with suppress(OSError):  # somebody else has found a use for it
                path.rmdir()

    def _make(self, folder: Path) -> None:
        """A folder of this machine and those above it, which go again if they were not there."""
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
        """A cable from here to there, the pods' bridge, and the way from here to the pods."""
        remove_link()
        _run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "outside", "netns", str(self.holder.pid))
        _run("ip", "address", "add", f"{LINK_HERE}/30", "dev", LINK)
        _run("ip", "link", "set", LINK, "up")
        for there in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{LINK_THERE}/30", "dev", "outside"),
            ("link", "set", "outside", "up"),
            # The CNI plugin takes a bridge that is there already, so that servers can listen on its address before the first pod.
            ("link", "add", BRIDGE, "type", "bridge"),
            ("address", "add", f"{ADDRESS}/16", "dev", BRIDGE),
            ("link", "set", BRIDGE, "up"),
        ):
            self.run("ip", *there)
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        _run("ip", "route", "add", POD_RANGE, "via", LINK_THERE, "src", LINK_HERE)


def remove_link() -> None:
    """Removes this machine's end of the cable, if it is there; the other end goes with it."""
    if Path("/sys/class/net", LINK).exists():
        _run("ip", "link", "delete", LINK)


def remove_cgroups() -> None:
    """Removes the node's cgroups; nothing is in them any more."""
    for tree in _cgroup_trees():
        for folder, _, _ in os.walk(tree / CGROUP, topdown=False):
            Path(folder).rmdir()


def _cgroup_trees() -> list[Path]:
    """One a controller in version 1; one in all in version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [tree for tree in sorted(CGROUPS.iterdir()) if tree.is_dir() and not tree.is_symlink()]


def _run(*command: str) -> str:
    completed = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": PATH})
    if completed.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed: {(completed.stderr or completed.stdout).strip()}")
    return completed.stdout
