"""Creates what jobs of a namespace need of the S3 server: the storage secret and buckets."""

from collections.abc import Sequence

from headrace_local.access import ClusterAccess

SECRET_NAME = "headrace-storage"


def create_storage(cluster: ClusterAccess, namespace: str, buckets: Sequence[str]) -> None:
    """Creates the namespace's storage secret, and the buckets that do not exist yet."""
    from kubernetes import client

    with cluster.api() as api:
        client.CoreV1Api(api).create_namespaced_secret(
            namespace,
            client.V1Secret(metadata=client.V1ObjectMeta(name=SECRET_NAME), string_data=cluster.storage_environment()),
        )
    store = cluster.minio()
    for bucket in buckets:
        if not store.bucket_exists(bucket):
            store.make_bucket(bucket)
