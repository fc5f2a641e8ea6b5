"""Sets up a cluster for Headrace, with a dataset, Prometheus and a namespace for jobs, and removes it all at the end."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace_e2e import images
from headrace_e2e.given_cluster import GivenCluster
from headrace_e2e.gpus import offered
from headrace_e2e.history import History
from headrace_e2e.image_store import image_store
from headrace_e2e.kubelet_cluster import KubeletCluster
from headrace_e2e.lab import BUCKET, Lab
from headrace_e2e.prometheus import start_prometheus
from headrace_e2e.release import Release
from headrace_local.binaries import ALL, find_binaries
from headrace_local.put import put_folder
from headrace_local.storage_setup import create_storage
from headrace_scenes import write_digit_scenes
from headrace_testing.typed_client import typed_client

GPUS = 8
"""More than the tests use: the number of cores limits how many jobs run at once."""


def _cluster(programs: Mapping[str, Path], stack: ExitStack) -> GivenCluster | KubeletCluster:
    if "E2E_KUBECONFIG" in os.environ:
        return stack.enter_context(GivenCluster(programs))
    return stack.enter_context(KubeletCluster(programs, stack.enter_context(image_store())))


@contextmanager
def laboratory(say: Callable[[str], None]) -> Iterator[Lab]:
    """
    Args:
        say: called with a line about each step that has finished or takes long.
    """
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # everything runs on this machine
    programs = find_binaries(wanted=ALL)
    with ExitStack() as stack:
        # 1. A cluster, with the images in its registry.
        cluster = _cluster(programs, stack)
        pushed = images.push_all(cluster.registry, programs["crane"], say)
        if isinstance(cluster, KubeletCluster):
            cluster.start_node(pushed.pause)
        stack.enter_context(offered(cluster, GPUS))
        # 2. What observes the cluster, from the first pod on.
        namespace = f"e2e-{secrets.token_hex(3)}"
        cluster.create_namespace(namespace)
        stack.callback(cluster.kubectl, "delete", "namespace", namespace, "--timeout=120s")
        history = stack.enter_context(History(lambda: typed_client(cluster), namespace))
        prometheus_url = start_prometheus(cluster, programs["prometheus"])
        # 3. Data, and the key to read it.
        create_storage(cluster, namespace, [BUCKET])
        with TemporaryDirectory() as folder:
            write_digit_scenes(Path(folder), train=48, val=12, size=64)
            put_folder(cluster.minio(), Path(folder), f"s3://{BUCKET}/dataset/")
        # 4. Headrace.
        release = Release(cluster, programs["helm"], pushed, namespace)
        stack.callback(release.remove)
        pods_folder = cluster.pods_folder if isinstance(cluster, KubeletCluster) else None
        yield Lab(cluster, release, pushed, history, cluster.minio(), prometheus_url, pods_folder)
