"""Process nodes on the shared cluster, for tests of how they behave."""

from collections.abc import Iterator

import pytest

from headrace_local.access import ClusterAccess
from headrace_testing.process_nodes import IMAGES, NodeForTests, PodWatch


@pytest.fixture(scope="module")
def node(cluster: ClusterAccess) -> Iterator[NodeForTests]:
    node = NodeForTests.start(cluster, gpus=2, images=IMAGES)
    yield node
    node.stop()


@pytest.fixture
def own_node(cluster: ClusterAccess) -> Iterator[NodeForTests]:
    """A node that the test may kill."""
    node = NodeForTests.start(cluster, images=IMAGES)
    yield node
    node.stop()


@pytest.fixture
def pods(cluster: ClusterAccess, namespace: str) -> Iterator[PodWatch]:
    with PodWatch.open(cluster, namespace) as pods:
        yield pods
