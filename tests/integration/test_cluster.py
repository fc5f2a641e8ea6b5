"""The embedded cluster: real control plane, real S3, RBAC on, nothing left behind."""

import base64
import io
import json
from pathlib import Path

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from headrace_local.access import ClusterAccess, KubectlError
from headrace_local.kubeconfig import token_user, write_kubeconfig
from headrace_testing.clusters import Storage
from headrace_testing.typed_client import typed_client


def test_the_api_server_knows_training_jobs(cluster: ClusterAccess) -> None:
    resources = cluster.kubectl("api-resources", "--api-group=headrace.dev", "--no-headers")
    assert resources.split()[:3] == ["trainingjobs", "tj", "headrace.dev/v1alpha1"]


def test_a_service_account_without_a_role_is_forbidden_everything(cluster: ClusterAccess, namespace: str) -> None:
    kubeconfig = cluster.service_account_kubeconfig(namespace, "default")
    with typed_client(cluster, kubeconfig) as api, pytest.raises(ApiException) as refusal:
        client.CoreV1Api(api).list_namespaced_secret(namespace)
    assert refusal.value.status == 403
    assert f"system:serviceaccount:{namespace}:default" in refusal.value.body


def test_a_role_gives_a_service_account_its_permissions_and_no_others(cluster: ClusterAccess, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "role", "reader", "--verb=list", "--resource=pods")
    cluster.kubectl("-n", namespace, "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:default")
    with typed_client(cluster, cluster.service_account_kubeconfig(namespace, "default")) as api:
        core = client.CoreV1Api(api)
        assert core.list_namespaced_pod(namespace).items == []
        with pytest.raises(ApiException, match="403"):
            core.delete_collection_namespaced_pod(namespace)


def test_a_forged_token_is_refused(cluster: ClusterAccess, namespace: str, tmp_path: Path) -> None:
    config = yaml.safe_load(cluster.service_account_kubeconfig(namespace, "default").read_text())
    claims, _, signature = config["users"][0]["user"]["token"].rpartition(".")
    forged = base64.urlsafe_b64encode(bytes(b ^ 1 for b in base64.urlsafe_b64decode(signature + "=="))).decode()
    user = token_user(f"{claims}.{forged.rstrip('=')}")
    kubeconfig = write_kubeconfig(tmp_path / "forged", cluster.api_url, cluster.ca_file, user)
    with typed_client(cluster, kubeconfig) as api, pytest.raises(ApiException) as refusal:
        client.CoreV1Api(api).list_namespaced_pod(namespace)
    assert refusal.value.status == 401


def test_a_node_may_touch_only_its_own_object(cluster: ClusterAccess) -> None:
    with typed_client(cluster, cluster.node_kubeconfig("mine")) as api:
        core = client.CoreV1Api(api)
        core.create_node({"metadata": {"name": "mine"}})
        try:
            with pytest.raises(ApiException) as refusal:
                core.create_node({"metadata": {"name": "another"}})
        finally:
            cluster.kubectl("delete", "node", "mine")
    assert refusal.value.status == 403
    assert "not allowed to modify" in refusal.value.body or "cannot" in refusal.value.body


def test_a_deleted_owner_takes_its_dependants_along(cluster: ClusterAccess, namespace: str) -> None:
    with typed_client(cluster) as api:
        core = client.CoreV1Api(api)
        owner = core.create_namespaced_config_map(namespace, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "dependant", "ownerReferences": [reference]}})
        core.delete_namespaced_config_map("owner", namespace)

        def names() -> set[str]:
            return {m.metadata.name for m in core.list_namespaced_config_map(namespace).items}

        cluster.wait_until(lambda: "dependant" not in names(), "the dependant is collected")


def test_the_scheduler_says_why_a_pod_waits(cluster: ClusterAccess, namespace: str) -> None:
    container = {"name": "c", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "64"}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big"}, "spec": {"containers": [container]}}
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(pod))
    cluster.kubectl("-n", namespace, "wait", "pod/big", "--for=condition=PodScheduled=False", "--timeout=20s")


def test_objects_come_back_from_s3_as_they_were(storage: Storage) -> None:
    content = bytes(range(256)) * 1024
    storage.client.put_object(storage.bucket, "a/b/c.bin", io.BytesIO(content), len(content))
    response = storage.client.get_object(storage.bucket, "a/b/c.bin")
    try:
        assert response.read() == content
    finally:
        response.close()
        response.release_conn()
    assert [o.object_name for o in storage.client.list_objects(storage.bucket, recursive=True)] == ["a/b/c.bin"]


def test_kubectl_errors_contain_kubectls_message(cluster: ClusterAccess) -> None:
    with pytest.raises(KubectlError, match='namespaces "nowhere" not found'):
        cluster.kubectl("get", "namespace", "nowhere")
