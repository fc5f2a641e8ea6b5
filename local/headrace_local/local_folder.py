"""The `.local` folder of a cluster that `up` leaves running: the keeper's records, and files for users.

keeper.json      the process that owns the cluster
processes.json   the processes that run, and those that ended by themselves
keeper.log       stderr of the keeper
kubeconfig       the administrator's kubeconfig
env              a file to source in a shell
bin/kubectl
cluster/         the cluster's own folder
"""

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from headrace_local.access import ClusterAccess
from headrace_local.processes import Process


@dataclass(frozen=True)
class KeeperRecord:
    """Identifies a process for good: after a crash or a reboot, a pid alone may belong to another process."""

    pid: int
    created: float
    """Start time of the process, seconds since the epoch."""

    @property
    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            # The kernel counts from boot, and the recorded time of boot may shift slightly.
            return abs(process.create_time() - self.created) < 2 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class NotOursError(RuntimeError):
    """The folder contains something that no keeper made."""


class NothingUpError(RuntimeError):
    """The command needs a running cluster."""


class LocalFolder:
    """The folder `.local` of a project."""

    def __init__(self, project: Path) -> None:
        self.path = project.absolute() / ".local"
        self.kubeconfig = self.path / "kubeconfig"
        self.env = self.path / "env"
        self.keeper_log = self.path / "keeper.log"
        self.cluster = self.path / "cluster"
        self._keeper = self.path / "keeper.json"
        self._processes = self.path / "processes.json"

    def keeper(self) -> KeeperRecord | None:
        """The recorded keeper, dead or alive."""
        try:
            return KeeperRecord(**json.loads(self._keeper.read_text()))
        except FileNotFoundError:
            return None

    def running_cluster(self) -> ClusterAccess:
        """The cluster that is up.

        Raises:
            NothingUpError: no cluster is up.
        """
        keeper = self.keeper()
        if keeper is None or not keeper.alive or not (self.cluster / "cluster.json").exists():
            raise NothingUpError(f"no cluster is up in {self.path.parent}. hint: make up")
        return ClusterAccess(self.cluster)

    def clean_up_after_crash(self) -> bool:
        """Removes what a crashed keeper left behind (its processes ended with it). Returns whether there was anything to remove.

        Raises:
            NotOursError: the folder is not a keeper's.
        """
        if not self.path.exists():
            return False
        keeper = self.keeper()
        if keeper is None and any(entry != self.keeper_log for entry in self.path.iterdir()):
            raise NotOursError(f"{self.path} has files but no record of a cluster; move it away and try again")
        if keeper is not None and keeper.alive:
            return False
        shutil.rmtree(self.path)
        return True

    def write_keeper(self) -> None:
        """Records this process as the keeper."""
        process = psutil.Process()
        self._keeper.write_text(json.dumps({"pid": process.pid, "created": process.create_time()}))

    def write_for_users(self, cluster: ClusterAccess) -> None:
        """Writes the files that people and shells use."""
        self.kubeconfig.symlink_to(cluster.kubeconfig)
        (self.path / "bin").mkdir()
        (self.path / "bin" / "kubectl").symlink_to(cluster.facts.kubectl)
        variables = {"KUBECONFIG": str(self.kubeconfig)} | cluster.storage_environment()
        self.env.touch(mode=0o600)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        self.env.write_text(exports + on_path(self.path / "bin") + on_path(Path(sys.prefix) / "bin"))

    def write_processes(self, processes: list[Process]) -> None:
        """Records the processes. `ended` is None while one runs, else its exit code or the negative number of a signal."""
        states = {p.name: {"pid": p.pid, "ended": p.exit_code, "log": str(p.log)} for p in processes}
        partial = self._processes.with_suffix(".partial")
        partial.write_text(json.dumps(states, indent=2))
        partial.rename(self._processes)

    def processes(self) -> dict[str, dict[str, str | int | None]]:
        """The processes that `write_processes` recorded; empty while the cluster starts."""
        try:
            states: dict[str, dict[str, str | int | None]] = json.loads(self._processes.read_text())
        except FileNotFoundError:
            return {}
        return states


def on_path(folder: Path) -> str:
    """A line of shell that puts a folder in front of PATH, unless it is there already."""
    return f'case ":$PATH:" in *:{shlex.quote(str(folder))}:*) ;; *) export PATH={shlex.quote(str(folder))}:"$PATH" ;; esac\n'
