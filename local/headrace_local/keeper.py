"""The process that owns a cluster that `up` leaves running: `python -m headrace_local.keeper PROJECT --gpus N`.

It reports to its parent (`up`) over stdout, in JSON lines, which steps are done and how long they took. Then it stays
until SIGTERM. However it ends, the cluster and `.local` go with it (see `janitor.py`).
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
    parser.add_argument("--control-plane-only", action="store_true", help="start neither the operator nor a node")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keep(LocalFolder(options.project), options.gpus, options.control_plane_only)


def keep(local: LocalFolder, gpus: int, control_plane_only: bool) -> None:
    """Starts everything, reports that it is ready, and keeps it running until SIGTERM."""
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
    """Records processes that end, for `status`. It does not restart them, so that people see what happened."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())  # `up` exits now, and the pipe closes
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
