"""Fixtures that every test may use: a real cluster, and a namespace and bucket for one test."""

import secrets
import signal
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from headrace_local.access import ClusterAccess
from headrace_local.binaries import BINARIES, FOR_TESTS, find_binaries
from headrace_testing.charts import Helm
from headrace_testing.clusters import Storage, shared_cluster

# A shell that runs the tests in the background makes them ignore Ctrl-C, and so do the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Gets the programs that tests use before the first test: a build takes minutes, and tests have time limits."""
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    wanted = [*(BINARIES if "binaries" in used else ()), *(binary for binary in FOR_TESTS if binary.name in used)]
    if session.config.option.collectonly or not wanted:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        find_binaries(wanted=wanted)


@pytest.fixture(scope="session")
def binaries() -> dict[str, str]:
    """The cluster's programs by name."""
    return {name: str(path) for name, path in find_binaries().items()}


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster, and without the user's own settings."""
    program = find_binaries(wanted=[binary for binary in FOR_TESTS if binary.name == "helm"])["helm"]
    return Helm(program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def cluster(binaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[ClusterAccess]:
    """A running cluster for the whole run. Each test uses its own namespace and bucket. A test that starts a node in it
    must taint the node (`headrace_testing.process_nodes`), or it gets other tests' pods.

    Processes that a test starts through it end with the pytest worker at the latest.
    """
    root = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        root = root.parent  # common to all pytest-xdist workers
    with shared_cluster(root / "shared-cluster") as access:
        yield access


@pytest.fixture
def namespace(cluster: ClusterAccess) -> Iterator[str]:
    """A fresh namespace in which pods can be created; deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def storage(cluster: ClusterAccess) -> Iterator[Storage]:
    """A fresh bucket on the cluster's S3 server; removed afterwards with its contents."""
    storage = Storage(
        client=cluster.minio(),
        bucket=f"test-{secrets.token_hex(4)}",
        endpoint=cluster.s3_endpoint,
        environment=cluster.storage_environment(),
    )
    storage.client.make_bucket(storage.bucket)
    yield storage
    storage.empty()
