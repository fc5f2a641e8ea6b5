"""Creates what jobs of a namespace need of the S3 server: the storage secret and buckets."""

from collections.abc import Sequence

from headrace_local.access import ClusterAccess

SECRET_NAME = "headrace-storage"


def create_storage(cluster: ClusterAccess, namespace: str, buckets: Sequence[str]) -> None:
    """Creates the namespace's storage secret, and the buckets that do not exist yet."""
    secret = {"metadata": {"name": SECRET_NAME}, "stringData": cluster.storage_environment()}
    with cluster.api() as api:
        api.request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    store = cluster.minio()
    for bucket in buckets:
        if not store.bucket_exists(bucket):
            store.make_bucket(bucket)
