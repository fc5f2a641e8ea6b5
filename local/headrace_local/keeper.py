"""The process that owns a cluster which is left running: `python -m headrace_local.keeper PROJECT --gpus N`.

It tells its parent (`up`) over stdout, in JSON lines, what is done and how long it took; then it stays until
SIGTERM. Killed in any way, it takes the cluster and `.local` with it (see `janitor.py`).
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from headrace_local.access import ClusterAccess
from headrace_local.cluster import Cluster
from headrace_local.cluster_node import start_node
from headrace_local.cluster_operator import install_operator, start_operator
from headrace_local.local_folder import LocalFolder
from headrace_local.storage_setup import create_storage

NAMESPACE = "demo"
BUCKETS = ("datasets", "runs")
WATCH_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--control-plane-only", action="store_true", help="neither operator nor node")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keep(LocalFolder(options.project), options.gpus, options.control_plane_only)


def keep(local: LocalFolder, gpus: int, control_plane_only: bool) -> None:
    """Starts everything, says that it is ready, and holds it until SIGTERM."""
    local.write_keeper()
    try:
        with Cluster(folder=local.cluster, remove=[local.path]) as cluster:
            say(step="etcd, kube-apiserver, scheduler, controller manager, S3", seconds=cluster.setup_seconds["total"])
            timed(f"namespace {NAMESPACE}, storage secret, buckets", lambda: prepare_namespace(cluster))
            if not control_plane_only:
                timed("operator's permissions", lambda: install_operator(cluster))
                timed("operator", lambda: start_operator(cluster))
                timed(f"node-0 with {gpus} GPUs", lambda: start_node(cluster, gpus=gpus))
            local.write_for_users(cluster)
            local.write_processes(cluster.processes.started)
            say(ready=True)
            watch(local, cluster)
    except Exception as error:
        say(error=str(error) or repr(error))
        raise


def prepare_namespace(cluster: ClusterAccess) -> None:
    cluster.create_namespace(NAMESPACE)
    create_storage(cluster, NAMESPACE, BUCKETS)


def watch(local: LocalFolder, cluster: ClusterAccess) -> None:
    """Records processes that end, for `status`; they are not restarted, so that people see what happened."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())  # `up` goes now, and with it the pipe
    ended: set[str] = set()
    while True:
        now_ended = {process.name for process in cluster.processes.started if not process.running}
        if now_ended != ended:
            ended = now_ended
            local.write_processes(cluster.processes.started)
        time.sleep(WATCH_SECONDS)


def timed(step: str, work: Callable[[], object]) -> None:
    started = time.monotonic()
    work()
    say(step=step, seconds=round(time.monotonic() - started, 2))


def say(**message: object) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
