"""Fixtures that every test may use: a real cluster, a namespace and a bucket of one's own."""

import secrets
import signal
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from headrace_local.access import ClusterAccess
from headrace_local.binaries import BINARIES, FOR_TESTS, find_binaries
from headrace_testing.charts import Helm
from headrace_testing.clusters import Storage, shared_cluster

# A shell that starts the tests in its background has them ignore Ctrl-C, and with them the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Gets the programs that tests use before the first test: a build takes minutes, and a test's time is bounded."""
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
    """Helm without a cluster, and without anything that a user has set up."""
    program = find_binaries(wanted=[binary for binary in FOR_TESTS if binary.name == "helm"])["helm"]
    return Helm(program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def cluster(binaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[ClusterAccess]:
    """A running cluster, one for the whole run: tests keep to a namespace and a bucket of their own, and a node that
    a test starts in it must be tainted (`headrace_testing.process_nodes`), or it takes other tests' pods.

    Processes that a test starts through it end with the worker at the latest.
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
    """A fresh bucket on the cluster's S3 server; removed afterwards with everything in it."""
    storage = Storage(
        client=cluster.minio(),
        bucket=f"test-{secrets.token_hex(4)}",
        endpoint=cluster.s3_endpoint,
        environment=cluster.storage_environment(),
    )
    storage.client.make_bucket(storage.bucket)
    yield storage
    storage.empty()
