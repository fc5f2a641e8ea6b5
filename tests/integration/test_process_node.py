"""The process node on a real API server with a real scheduler: pods, which are processes, begin and end as with a kubelet."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headrace_testing.process_nodes import (
    MESSAGE_ENV,
    NodeForTests,
    PodWatch,
    condition_of,
    ended,
    handling_term,
    process_of,
    state_of,
    wait_until_armed,
)


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
    assert "running" in state_of(pods.until_deleted(name))  # nothing reports the end of such a pod
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


def test_a_log_tail_replaces_the_missing_message_of_a_failure(node: NodeForTests, pods: PodWatch) -> None:
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


def test_what_the_node_cannot_do_is_refused_with_a_reason(node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(node.pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]))
    status = pods.until_phase(name, "Failed")["status"]
    assert status["reason"] == "UnsupportedByProcessNode"
    assert "volume 'v' of type hostPath (supported: emptyDir" in status["message"]


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
