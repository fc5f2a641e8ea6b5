"""The process node on a real API server with a real scheduler: pods are processes, reported as by a kubelet."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace_local.access import ClusterAccess, KubectlError
from headrace_testing.process_nodes import NodeForTests, PodWatch, condition_of, ready, state_of

IMAGES = {"busybox": (), "greeter": ("sh", "-c", "echo hello $0"), "python": (sys.executable,)}
MESSAGE_ENV = [{"name": "MESSAGE", "value": "/dev/termination-log"}]


def handling_term(folder: Path, action: str = "printf why > $MESSAGE; exit 7") -> str:
    """A script that handles SIGTERM, and says so with a file: as PID 1 it would be deaf to an earlier signal."""
    return f"trap '{action}' TERM; touch {folder}/armed; while :; do sleep 0.02; done"


def wait_until_armed(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while not (folder / "armed").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def summary(kind: str, pod: dict[str, Any]) -> tuple[Any, ...]:
    """An event as (type, deletionGracePeriodSeconds, phase, state, Ready's status, its reason)."""
    condition = condition_of(pod, "Ready")
    return (
        kind,
        pod["metadata"].get("deletionGracePeriodSeconds"),
        pod["status"]["phase"],
        next(iter(state_of(pod)), None),
        condition.get("status"),
        condition.get("reason"),
    )


def process_of(pod: dict[str, Any]) -> psutil.Process:
    """The main process of the pod's container."""
    return psutil.Process(int(pod["status"]["containerStatuses"][0]["containerID"].removeprefix("process://")))


def ended(process: psutil.Process, timeout: float = 10) -> bool:
    """Whether a process is gone within some seconds."""
    return not psutil.wait_procs([process], timeout)[1]


def test_a_graceful_deletion_shows_code_and_message_in_every_event_from_the_end_on(
    node: NodeForTests, pods: PodWatch, tmp_path: Path
) -> None:
    name = pods.create(node.pod(handling_term(tmp_path), container={"env": MESSAGE_ENV}))
    pods.until_ready(name)
    wait_until_armed(tmp_path)
    pods.delete(name)
    pods.until_deleted(name)
    assert [summary(*event) for event in pods.of(name)] == [
        ("ADDED", None, "Pending", None, None, None),
        ("MODIFIED", None, "Pending", None, None, None),  # bound by the scheduler
        ("MODIFIED", None, "Pending", "waiting", "False", "ContainersNotReady"),
        ("MODIFIED", None, "Running", "running", "True", None),
        ("MODIFIED", 10, "Running", "running", "True", None),
        ("MODIFIED", 10, "Failed", "terminated", "False", "PodFailed"),
        ("MODIFIED", 0, "Failed", "terminated", "False", "PodFailed"),
        ("DELETED", 0, "Failed", "terminated", "False", "PodFailed"),
    ]
    for _kind, pod in pods.of(name)[-3:]:
        end = state_of(pod)["terminated"]
        assert (end["exitCode"], end["reason"], end["message"]) == (7, "Error", "why")


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "PodCompleted"), (3, "Failed", "PodFailed")])
def test_a_container_that_ends_by_itself_is_reported_before_the_end_of_its_pod(
    node: NodeForTests, pods: PodWatch, code: int, phase: str, reason: str
) -> None:
    name = pods.create(node.pod(f"exit {code}"))
    end = state_of(pods.until_phase(name, phase))["terminated"]
    assert (end["exitCode"], end["reason"]) == (code, "Error" if code else "Completed")
    assert [summary(*event) for event in pods.of(name)][-2:] == [
        ("MODIFIED", None, "Running", "terminated", "False", reason),
        ("MODIFIED", None, phase, "terminated", "False", reason),
    ]


def test_a_finished_pod_is_deleted_at_once(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod("exit 0"))
    pods.until_phase(name, "Succeeded")
    pods.delete(name)
    assert pods.until_deleted(name)["status"]["phase"] == "Succeeded"


def test_a_bound_pod_is_running_within_a_moment(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod("sleep 1000", terminationGracePeriodSeconds=1))
    pods.until(name, lambda _kind, pod: "nodeName" in pod["spec"])
    bound = time.monotonic()
    pods.until_ready(name)
    # Measured: 0.03 s on an idle machine with 2 cores. The bound leaves room for busy ones.
    assert time.monotonic() - bound < 2


def test_when_the_grace_is_over_the_whole_container_is_killed(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod("sleep 1000 & setsid sleep 1000 & wait", terminationGracePeriodSeconds=1))
    main = process_of(pods.until_ready(name))
    family = [main, *main.children(recursive=True)]
    pods.delete(name)
    end = state_of(pods.until_deleted(name))["terminated"]
    assert (end["exitCode"], end["reason"]) == (137, "Error")
    assert "message" not in end
    assert not any(process.is_running() for process in family)


def test_a_shorter_grace_shortens_a_deletion_under_way(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod("sleep 1000", terminationGracePeriodSeconds=600))
    pods.until_ready(name)
    pods.delete(name)
    pods.until(name, lambda _kind, pod: "deletionTimestamp" in pod["metadata"])
    pods.delete(name, grace_seconds=1)
    assert state_of(pods.until_deleted(name))["terminated"]["exitCode"] == 137


def test_a_forced_deletion_still_signals_and_leaves_no_process(node: NodeForTests, pods: PodWatch, tmp_path: Path) -> None:
    name = pods.create(node.pod(handling_term(tmp_path, f"touch {tmp_path}/signalled; exit 0"), terminationGracePeriodSeconds=600))
    main = process_of(pods.until_ready(name))
    wait_until_armed(tmp_path)
    pods.delete(name, grace_seconds=0)
    assert "running" in state_of(pods.until_deleted(name))  # nobody reports the end of such a pod
    assert ended(main)
    assert (tmp_path / "signalled").exists()


def test_the_pods_folder_goes_with_the_pod(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod("exit 0"))
    uid = pods.until_phase(name, "Succeeded")["metadata"]["uid"]
    folder = node.cluster.folder / "nodes" / node.name / "pods" / uid
    assert folder.is_dir()
    pods.delete(name)
    pods.until_deleted(name)
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not folder.exists()


def test_a_log_tail_stands_in_for_a_missing_message_of_a_failure(node: NodeForTests, pods: PodWatch) -> None:
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    name = pods.create(node.pod("echo first; echo last; exit 1", container=container))
    assert state_of(pods.until_phase(name, "Failed"))["terminated"]["message"] == "first\nlast\n"


def test_a_termination_message_is_cut_at_4096_bytes(node: NodeForTests, pods: PodWatch) -> None:
    script = "head -c 5000 /dev/zero | tr '\\0' x > $MESSAGE"
    name = pods.create(node.pod(script, container={"env": MESSAGE_ENV}))
    assert state_of(pods.until_phase(name, "Succeeded"))["terminated"]["message"] == "x" * 4096


def test_gpus_are_counted_and_the_third_pod_waits_for_one(node: NodeForTests, pods: PodWatch) -> None:
    container = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}

    def manifest() -> dict[str, Any]:
        return node.pod("sleep 1000", terminationGracePeriodSeconds=1, container=container)

    first, second = pods.create(manifest()), pods.create(manifest())
    pods.until_ready(first)
    pods.until_ready(second)
    third = pods.create(manifest())
    waiting = pods.until(third, lambda _kind, pod: condition_of(pod, "PodScheduled").get("status") == "False")
    assert "Insufficient nvidia.com/gpu" in condition_of(waiting, "PodScheduled")["message"]
    pods.delete(first)
    pods.until_ready(third)


def test_a_pod_placed_by_hand_beyond_the_capacity_is_refused(node: NodeForTests, pods: PodWatch) -> None:
    container = {"resources": {"limits": {"nvidia.com/gpu": "3"}}}
    name = pods.create(node.pod(nodeName=node.name, container=container))
    status = pods.until_phase(name, "Failed")["status"]
    assert status["reason"] == "UnexpectedAdmissionError"
    assert "Requested: 3" in status["message"]


def test_what_the_node_cannot_do_is_refused_in_words(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]))
    status = pods.until_phase(name, "Failed")["status"]
    assert status["reason"] == "UnsupportedByProcessNode"
    assert "volume 'v' of type hostPath (supported: emptyDir" in status["message"]


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
    # From now on liveness counts, and it fails.
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


def test_a_program_that_is_not_there_is_a_start_error(node: NodeForTests, pods: PodWatch) -> None:
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
    # More than a second between them: kubectl sends --since-time in whole seconds.
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


def test_an_active_deadline_ends_the_pod_with_its_own_exit_code(node: NodeForTests, pods: PodWatch, tmp_path: Path) -> None:
    name = pods.create(node.pod(handling_term(tmp_path), activeDeadlineSeconds=1, container={"env": MESSAGE_ENV}))
    pod = pods.until_phase(name, "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    end = state_of(pod)["terminated"]
    assert (end["exitCode"], end["message"]) == (7, "why")
    assert "deletionTimestamp" not in pod["metadata"]


def test_an_eviction_by_the_api_is_a_graceful_deletion_with_a_condition(node: NodeForTests, pods: PodWatch, tmp_path: Path) -> None:
    name = pods.create(node.pod(handling_term(tmp_path), container={"env": MESSAGE_ENV}))
    pods.until_ready(name)
    wait_until_armed(tmp_path)
    eviction: Any = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    pods.core.create_namespaced_pod_eviction(name, pods.namespace, eviction)
    gone = pods.until_deleted(name)
    assert state_of(gone)["terminated"]["exitCode"] == 7
    assert condition_of(gone, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"


def test_an_empty_dir_over_its_limit_evicts_the_pod(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(
        node.pod(
            volumes=[{"name": "w", "emptyDir": {"sizeLimit": "1Mi"}}],
            container={
                "command": ["sh", "-c", "head -c 3000000 /dev/zero > $1; sleep 1000", "sh", "/w/file"],
                "volumeMounts": [{"name": "w", "mountPath": "/w"}],
            },
        )
    )
    status = pods.until_phase(name, "Failed")["status"]
    assert (status["reason"], status["message"]) == ("Evicted", 'Usage of EmptyDir volume "w" exceeds the limit "1Mi". ')


def test_too_much_memory_is_an_out_of_memory_kill(node: NodeForTests, pods: PodWatch) -> None:
    script = "x = bytearray(80_000_000); import time; time.sleep(1000)"
    container = {"command": [sys.executable, "-c", script], "resources": {"limits": {"memory": "50Mi"}}}
    end = state_of(pods.until_phase(pods.create(node.pod(container=container)), "Failed"))["terminated"]
    assert (end["exitCode"], end["reason"]) == (137, "OOMKilled")


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


def test_a_killed_agent_takes_its_pods_along_and_the_node_is_lost(own_node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(own_node.pod("setsid sleep 1000 & sleep 1000"))
    main = process_of(pods.until_ready(name))
    family = [main, *main.children(recursive=True)]
    own_node.process.kill()
    assert all(ended(process) for process in family)
    # The control plane notices by the missing heartbeats; nobody reported the container's end.
    lost = pods.until(name, lambda _kind, pod: not ready(pod) and condition_of(pod, "Ready") != {} and "running" in state_of(pod))
    assert lost["status"]["phase"] == "Running"
    assert own_node.cluster.kubectl("get", "node", own_node.name).split()[6] == "NotReady"


@pytest.mark.parametrize("policy", ["Never", "Always"])
def test_a_new_agent_reports_what_its_predecessor_lost(own_node: NodeForTests, pods: PodWatch, policy: str) -> None:
    name = pods.create(own_node.pod("sleep 1000", restartPolicy=policy, terminationGracePeriodSeconds=1))
    pods.until_ready(name)
    own_node.process.kill()
    own_node.restart()
    if policy == "Never":
        end = state_of(pods.until_phase(name, "Failed"))["terminated"]
        assert (end["exitCode"], end["reason"]) == (137, "ContainerStatusUnknown")
    else:
        pod = pods.until(name, lambda _kind, pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)
        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_stopped_agent_kills_its_pods_and_exits_0(own_node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(own_node.pod("trap '' TERM; while :; do sleep 0.02; done", terminationGracePeriodSeconds=600))
    main = process_of(pods.until_ready(name))
    own_node.process.signal(signal.SIGTERM)
    assert own_node.process.wait(10) == 0
    assert ended(main)


def test_a_second_agent_in_the_same_folder_is_refused(own_node: NodeForTests) -> None:
    argv = psutil.Process(own_node.process.pid).cmdline()
    second = own_node.cluster.start("second-agent", argv)
    assert second.wait(20) != 0
    assert "is in use by another process node" in second.log_tail()
    second.expected_to_run = False


def test_an_images_program_may_lie_where_a_pod_mounts_a_volume(cluster: ClusterAccess, pods: PodWatch, tmp_path: Path) -> None:
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
