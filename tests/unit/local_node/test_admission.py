from typing import Any

import pytest

from headrace_local.node.admission import unsupported


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", **(container or {})}], **spec}}


def test_a_trainer_pod_is_accepted() -> None:
    volumes = [{"name": name, name: {}} for name in ("emptyDir", "downwardAPI", "secret", "configMap", "projected")]
    container = {"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}, "readinessProbe": {"httpGet": {}}}
    assert unsupported(pod(container, volumes=volumes)) == []


@pytest.mark.parametrize(
    ("manifest", "want"),
    [
        (pod(volumes=[{"name": "v", "persistentVolumeClaim": {}}]), "volume 'v' of type persistentVolumeClaim"),
        (pod(readinessGates=[{"conditionType": "x"}]), "readinessGates"),
        (pod({"livenessProbe": {"grpc": {"port": 1}}}), "container 'c': livenessProbe.grpc"),
        (pod({"lifecycle": {"postStart": {"exec": {}}}}), "container 'c': lifecycle.postStart"),
        (pod({"lifecycle": {"preStop": {"httpGet": {}}}}), "container 'c': lifecycle.preStop"),
        (pod({"volumeMounts": [{"subPathExpr": "$(X)"}]}), "container 'c': volumeMounts.subPathExpr"),
        (pod(initContainers=[{"name": "i", "restartPolicy": "Always"}]), "init container 'i' with restartPolicy"),
    ],
)
def test_what_the_node_does_not_support_is_named(manifest: dict[str, Any], want: str) -> None:
    (problem,) = unsupported(manifest)
    assert problem.startswith(want)
