"""The `kubernetes` package's own client, for tests that play users: typed, and independent of the client under test."""

from pathlib import Path

from kubernetes import client, config

from headrace_local.access import ClusterAccess


def typed_client(cluster: ClusterAccess, kubeconfig: Path | None = None) -> client.ApiClient:
    """The administrator's client, or that of another kubeconfig."""
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig or cluster.kubeconfig), client_configuration=configuration)
    configuration.proxy = None  # the environment's proxy cannot reach the cluster
    return client.ApiClient(configuration)
