"""The node of `up` and of the demo: a process node where the trainer's image stands for the trainer."""

import os
import sys
from collections.abc import Mapping, Sequence

from headrace_local.access import ClusterAccess
from headrace_local.cluster_operator import TRAINER_IMAGE
from headrace_local.node import launch
from headrace_local.processes import Process

TRAINER = {TRAINER_IMAGE: (sys.executable, "-m", "headrace_trainer")}

# What a job requests by default (a test compares them), so that the smallest job can run even on a laptop with two cores.
# The node does not limit what its processes use: only the scheduler uses these numbers.
CPUS_PER_JOB = 4
MEMORY_GIB_PER_JOB = 16


def start_node(
    cluster: ClusterAccess, name: str = "node-0", gpus: int = 2, images: Mapping[str, Sequence[str]] | None = None
) -> Process:
    """Starts a node agent and returns once its Node accepts pods.

    It offers room for one job of the default size per GPU, whatever the machine has.

    Args:
        images: the program each image name stands for; default: `TRAINER`.
    """
    jobs = max(gpus, 1)
    cpus = max(jobs * CPUS_PER_JOB, os.cpu_count() or 1)
    options = ["--cpu", str(cpus), "--memory", f"{jobs * MEMORY_GIB_PER_JOB}Gi"]
    return launch.start_node(cluster, name, gpus=gpus, images=TRAINER if images is None else images, options=options)
