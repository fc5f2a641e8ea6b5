"""How a process node starts containers, how it judges their start, and what it reports about them."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace_local.access import ClusterAccess, KubectlError
from headrace_testing.process_nodes import (
    MESSAGE_ENV,
    NodeForTests,
    PodWatch,
    condition_of,
    handling_term,
    ready,
    state_of,
    wait_until_armed,
)


def test_readiness_gates_ready(node: NodeForTests, pods: PodWatch, tmp_path: Path) -> None:
    script = f"import http.server, os, time\nwhile not os.path.exists('{tmp_path}/go'): time.sleep(0.01)\n"
    script += "http.server.ThreadingHTTPServer((os.environ['IP'], 8080), http.server.SimpleHTTPRequestHandler).serve_forever()"
    container = {
        "command": [sys.executable, "-c", script],
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "metrics", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "metrics"}, "periodSeconds": 1},
    }
    name = pods.create(node.pod(container=container, terminationGracePeriodSeconds=1))
    running = pods.until(name, lambda _kind, pod: "running" in state_of(pod))
    assert not ready(running)
    assert condition_of(running, "Ready")["message"] == "containers with unready status: [c]"
    (tmp_path / "go").touch()
    assert pods.until_ready(name)["status"]["podIP"].startswith("127.")


def test_a_container_is_started_once_its_startup_probe_passes(node: NodeForTests, pods: PodWatch, tmp_path: Path) -> None:
    container = {
        "startupProbe": {"exec": {"command": ["test", "-e", f"{tmp_path}/go"]}, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1},
    }
    name = pods.create(node.pod("sleep 1000", container=container, terminationGracePeriodSeconds=1))
    running = pods.until(name, lambda _kind, pod: "running" in state_of(pod))
    assert running["status"]["containerStatuses"][0]["started"] is False
    (tmp_path / "go").touch()
    pods.until(name, lambda _kind, pod: pod["status"].get("containerStatuses", [{}])[0].get("started") is True)
    # From now on the liveness probe counts, and it fails.
    assert state_of(pods.until_phase(name, "Failed"))["terminated"]["exitCode"] == 137


def test_a_container_that_fails_its_startup_probe_is_ended(node: NodeForTests, pods: PodWatch, tmp_path: Path) -> None:
    fail_once_armed = f"while ! test -e {tmp_path}/armed; do sleep 0.02; done; exit 1"
    probe = {"exec": {"command": ["sh", "-c", fail_once_armed]}, "timeoutSeconds": 30, "failureThreshold": 1}
    container = {"startupProbe": probe, "env": MESSAGE_ENV}
    name = pods.create(node.pod(handling_term(tmp_path), container=container))
    assert state_of(pods.until_phase(name, "Failed"))["terminated"]["message"] == "why"


def test_an_unknown_image_is_an_error_and_then_a_back_off(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod(container={"image": "nginx"}))
    assert pods.until_waiting(name, "ErrImagePull")["message"].endswith("known images: busybox, greeter, python")
    assert pods.until_waiting(name, "ImagePullBackOff")["message"].startswith('Back-off pulling image "nginx"')
    pods.delete(name)
    gone = pods.until_deleted(name)
    assert gone["status"]["phase"] == "Failed"
    assert state_of(gone)["terminated"] == {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": None,
        "finishedAt": None,
    }


def test_args_follow_the_images_entrypoint(node: NodeForTests, pods: PodWatch, cluster: ClusterAccess) -> None:
    pod = node.pod(container={"image": "greeter", "args": ["you"]})
    del pod["spec"]["containers"][0]["command"]
    name = pods.create(pod)
    pods.until_phase(name, "Succeeded")
    assert cluster.kubectl("-n", pods.namespace, "logs", name) == "hello you\n"


def test_a_missing_program_is_a_start_error(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod(container={"command": ["no-such-program"]}))
    end = state_of(pods.until_phase(name, "Failed"))["terminated"]
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert "'no-such-program'" in end["message"]


def test_a_missing_secret_is_waited_for(node: NodeForTests, pods: PodWatch, cluster: ClusterAccess) -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "storage", "key": "key"}}}]
    name = pods.create(node.pod('test "$KEY" = abc', container={"env": env}))
    assert pods.until_waiting(name, "CreateContainerConfigError")["message"] == 'secret "storage" not found'
    cluster.kubectl("-n", pods.namespace, "create", "secret", "generic", "storage", "--from-literal=key=abc")
    pods.until_phase(name, "Succeeded")


def test_environment_and_volumes_hold_what_the_pod_says(node: NodeForTests, pods: PodWatch, cluster: ClusterAccess) -> None:
    kubectl = ("-n", pods.namespace, "create")
    cluster.kubectl(*kubectl, "secret", "generic", "storage", "--from-literal=KEY=abc")
    cluster.kubectl(*kubectl, "configmap", "settings", "--from-literal=level=3")
    script = """
import json, os, pathlib
folders = [pathlib.Path(os.environ[name]) for name in ("INFO", "SETTINGS", "SECRETS")]
files = {path.name: path.read_text() for folder in folders for path in folder.iterdir()}
pathlib.Path(os.environ["WORKSPACE"]).joinpath("made").write_text("x")
print(json.dumps({"env": dict(os.environ), "files": files}))
"""
    mounts = {"workspace": "/workspace", "info": "/etc/info", "settings": "/etc/settings", "secrets": "/etc/secrets", "tmp": "/tmp"}
    pod = node.pod(
        metadata={"annotations": {"headrace.dev/job": '{"a": 1}'}},
        volumes=[
            {"name": "workspace", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "tmp", "emptyDir": {}},
            {
                "name": "info",
                "downwardAPI": {
                    "items": [{"path": "job.json", "fieldRef": {"fieldPath": "metadata.annotations['headrace.dev/job']"}}]
                },
            },
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "secrets", "projected": {"sources": [{"secret": {"name": "storage"}}]}},
        ],
        container={
            "image": "python",
            "command": [],
            "args": ["-c", script],
            "env": [
                {"name": "INFO", "value": "/etc/info"},
                {"name": "SETTINGS", "value": "/etc/settings"},
                {"name": "SECRETS", "value": "/etc/secrets"},
                {"name": "WORKSPACE", "value": "/workspace"},
                {"name": "CACHE", "value": "$(WORKSPACE)/cache"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            ],
            "envFrom": [{"secretRef": {"name": "storage"}}],
            "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in mounts.items()],
            "resources": {"limits": {"memory": "1Gi"}},
        },
    )
    name = pods.create(pod)
    done = pods.until_phase(name, "Succeeded", "Failed")
    got = json.loads(cluster.kubectl("-n", pods.namespace, "logs", name))
    folder = f"{cluster.folder}/nodes/{node.name}/pods/{done['metadata']['uid']}"
    assert got["files"] == {"job.json": '{"a": 1}', "level": "3", "KEY": "abc"}
    python_adds = {"LC_CTYPE"}
    assert {name: value for name, value in got["env"].items() if name not in python_adds} == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": f"{folder}/home/c",
        "HOSTNAME": name,
        "TMPDIR": f"{folder}/volumes/tmp",
        "INFO": f"{folder}/volumes/info",
        "SETTINGS": f"{folder}/volumes/settings",
        "SECRETS": f"{folder}/volumes/secrets",
        "WORKSPACE": f"{folder}/volumes/workspace",
        "CACHE": f"{folder}/volumes/workspace/cache",
        "NODE": node.name,
        "MEMORY": "1024",
        "KEY": "abc",
    }


def test_a_service_account_token_is_mounted_where_the_pod_wants_one(
    node: NodeForTests, pods: PodWatch, cluster: ClusterAccess
) -> None:
    mount = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = 'cat "$1/token" | cut -d. -f1 | base64 -d; cat "$1/namespace"'
    container = {"command": ["sh", "-c", script, "sh", mount]}
    name = pods.create(node.pod(automountServiceAccountToken=True, container=container))
    pods.until_phase(name, "Succeeded")
    logs = cluster.kubectl("-n", pods.namespace, "logs", name)
    assert '"alg"' in logs
    assert logs.endswith(pods.namespace)


def test_kubectl_logs_shows_follows_and_selects(node: NodeForTests, pods: PodWatch, cluster: ClusterAccess) -> None:
    logs = ("-n", pods.namespace, "logs")
    # More than a second apart: kubectl sends --since-time in whole seconds.
    name = pods.create(node.pod("echo one; echo two >&2; sleep 1.1; echo three"))
    pods.until(name, lambda _kind, pod: "running" in state_of(pod))
    assert sorted(cluster.kubectl(*logs, "-f", name).split()) == ["one", "three", "two"]
    assert cluster.kubectl(*logs, "--tail=1", name) == "three\n"
    time_of_last, text = cluster.kubectl(*logs, "--tail=1", "--timestamps", name).split()
    assert text == "three"
    assert cluster.kubectl(*logs, f"--since-time={time_of_last}", name) == "three\n"
    with pytest.raises(KubectlError, match="previous terminated container"):
        cluster.kubectl(*logs, "--previous", name)


def test_a_restarted_container_counts_and_keeps_its_last_end_and_log(
    node: NodeForTests, pods: PodWatch, cluster: ClusterAccess
) -> None:
    name = pods.create(node.pod("echo run; exit 4", restartPolicy="OnFailure"))
    assert pods.until_waiting(name, "CrashLoopBackOff")["message"].startswith("back-off 10s restarting failed container=c")
    pod = pods.until(name, lambda _kind, pod: state_of(pod).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    status = pod["status"]["containerStatuses"][0]
    assert pod["status"]["phase"] == "Running"
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 4)
    assert cluster.kubectl("-n", pods.namespace, "logs", "--previous", name) == "run\n"
    pods.delete(name)
    assert state_of(pods.until_deleted(name))["terminated"]["exitCode"] == 4


def test_init_containers_run_first_and_one_that_fails_ends_the_pod(node: NodeForTests, pods: PodWatch) -> None:
    def manifest(code: int) -> dict[str, Any]:
        init = {"name": "i", "image": "busybox", "command": ["sh", "-c", f"exit {code}"]}
        return node.pod("exit 0", initContainers=[init])

    good, bad = pods.create(manifest(0)), pods.create(manifest(1))
    pods.until_phase(good, "Succeeded")
    status = pods.until_phase(bad, "Failed")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


def test_a_pod_of_several_containers_ends_with_the_last(node: NodeForTests, pods: PodWatch) -> None:
    pod = node.pod("exit 0")
    pod["spec"]["containers"].append({"name": "d", "image": "busybox", "command": ["sh", "-c", "sleep 0.3; exit 5"]})
    name = pods.create(pod)
    statuses = pods.until_phase(name, "Failed")["status"]["containerStatuses"]
    assert [status["state"]["terminated"]["exitCode"] for status in statuses] == [0, 5]


def test_pre_stop_runs_before_the_signal(node: NodeForTests, pods: PodWatch, tmp_path: Path) -> None:
    script = handling_term(tmp_path, "cat hook > $MESSAGE; exit 0")
    container = {
        "env": MESSAGE_ENV,
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hooked > hook"]}}},
    }
    name = pods.create(node.pod(script, container=container))
    pods.until_ready(name)
    wait_until_armed(tmp_path)
    pods.delete(name)
    assert state_of(pods.until_deleted(name))["terminated"]["message"] == "hooked\n"


def test_an_images_program_may_be_where_a_pod_mounts_a_volume(cluster: ClusterAccess, pods: PodWatch, tmp_path: Path) -> None:
    program = tmp_path / "program.sh"
    program.write_text("#!/bin/sh\nls -d $1\n")
    program.chmod(0o755)
    node = NodeForTests.start(cluster, images={"odd": [str(program)]})
    try:
        container = {
            "image": "odd",
            "command": [],
            "args": [f"{tmp_path}/below"],
            "volumeMounts": [{"name": "w", "mountPath": str(tmp_path)}, {"name": "w", "mountPath": f"{tmp_path}/below"}],
        }
        pods.until_phase(pods.create(node.pod(container=container, volumes=[{"name": "w", "emptyDir": {}}])), "Succeeded")
    finally:
        node.stop()
