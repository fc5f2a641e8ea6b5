from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace_local.node.status import (
    ContainerRecord,
    PodFacts,
    Running,
    Terminated,
    Waiting,
    phase_of,
    pod_status,
    recorded,
)

NOW = datetime(2026, 8, 1, 12, 0, 0, tzinfo=UTC)
WAITING = Waiting("ContainerCreating")
RUNNING = Running(NOW)
OK, BAD = Terminated(0, "Completed"), Terminated(1, "Error")


def record(state: Waiting | Running | Terminated, last: Terminated | None = None, **more: Any) -> ContainerRecord:
    return ContainerRecord("c", "image", state, last, **more)


def pod(policy: str = "Never") -> dict[str, Any]:
    return {"metadata": {"name": "p", "generation": 2}, "spec": {"restartPolicy": policy}}


def facts(*containers: ContainerRecord, init: tuple[ContainerRecord, ...] = (), **more: Any) -> PodFacts:
    return PodFacts(init, containers, "127.0.0.1", "127.9.9.9", NOW, **more)


@pytest.mark.parametrize(
    ("case", "policy", "states", "want"),
    [
        ("nothing started", "Never", [record(WAITING)], "Pending"),
        ("one of two started", "Never", [record(RUNNING), record(WAITING)], "Pending"),
        ("all run", "Never", [record(RUNNING), record(RUNNING)], "Running"),
        ("one of two is over", "Never", [record(RUNNING), record(BAD)], "Running"),
        ("all succeeded", "Never", [record(OK), record(OK)], "Succeeded"),
        ("one of two failed", "Never", [record(OK), record(BAD)], "Failed"),
        ("succeeded and not to restart", "OnFailure", [record(OK)], "Succeeded"),
        ("failed and to restart", "OnFailure", [record(BAD)], "Running"),
        ("waits for its restart", "OnFailure", [record(Waiting("CrashLoopBackOff"), BAD)], "Running"),
        ("succeeded and to restart", "Always", [record(OK)], "Running"),
    ],
)
def test_the_phase_follows_from_containers_and_restart_policy(
    case: str, policy: str, states: list[ContainerRecord], want: str
) -> None:
    assert phase_of(pod(policy), facts(*states)) == want


def test_nothing_restarts_in_a_pod_that_is_ending() -> None:
    assert phase_of(pod("Always"), facts(record(BAD), ending=True)) == "Failed"
    assert phase_of(pod("Always"), facts(record(OK), ending=True)) == "Succeeded"


@pytest.mark.parametrize(
    ("policy", "init", "want"),
    [("Never", BAD, "Failed"), ("Always", BAD, "Pending"), ("Never", RUNNING, "Pending"), ("Never", OK, "Running")],
)
def test_containers_count_only_after_the_init_containers(policy: str, init: Running | Terminated, want: str) -> None:
    assert phase_of(pod(policy), facts(record(RUNNING), init=(record(init),))) == want


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


def test_a_ready_pod_has_every_condition_true() -> None:
    status = pod_status(pod(), facts(record(RUNNING, ready=True, started=True)), [], NOW)
    assert conditions(status) == {
        "PodReadyToStartContainers": ("True", None),
        "Initialized": ("True", None),
        "Ready": ("True", None),
        "ContainersReady": ("True", None),
    }
    assert status["podIPs"] == [{"$patch": "replace"}, {"ip": "127.9.9.9"}]
    assert status["observedGeneration"] == 2


def test_an_unready_container_is_named() -> None:
    status = pod_status(pod(), facts(record(RUNNING)), [], NOW)
    assert conditions(status)["Ready"] == ("False", "ContainersNotReady")
    assert status["conditions"][2]["message"] == "containers with unready status: [c]"


@pytest.mark.parametrize(("end", "reason"), [(OK, "PodCompleted"), (BAD, "PodFailed")])
def test_ended_containers_are_reported_before_the_phase(end: Terminated, reason: str) -> None:
    status = pod_status(pod(), facts(record(end)), [], NOW, phase="Running")
    assert status["phase"] == "Running"
    assert conditions(status)["Ready"] == ("False", reason)
    assert pod_status(pod(), facts(record(end)), [], NOW)["phase"] in ("Succeeded", "Failed")


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    first = pod_status(pod(), facts(record(RUNNING)), [], NOW)
    later = NOW + timedelta(minutes=1)
    second = pod_status(pod(), facts(record(RUNNING, ready=True)), first["conditions"], later)
    times = {item["type"]: item["lastTransitionTime"] for item in second["conditions"]}
    assert times["Initialized"] == "2026-08-01T12:00:00Z"
    assert times["Ready"] == "2026-08-01T12:01:00Z"


def test_a_terminated_container_shows_code_message_and_times() -> None:
    end = Terminated(7, "Error", "why", NOW, NOW + timedelta(seconds=5), "process://1")
    status = pod_status(pod(), facts(record(end, container_id="process://1")), [], NOW)
    assert status["containerStatuses"][0]["state"] == {
        "terminated": {
            "exitCode": 7,
            "reason": "Error",
            "message": "why",
            "startedAt": "2026-08-01T12:00:00Z",
            "finishedAt": "2026-08-01T12:00:05Z",
            "containerID": "process://1",
        }
    }


def test_a_reason_of_the_node_fails_the_pod_whatever_its_exit_code() -> None:
    status = pod_status(pod(), facts(record(OK), failed=True, ending=True, reason="Evicted", message="full"), [], NOW)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", "full")


def test_a_container_that_ran_under_an_earlier_agent_is_lost() -> None:
    before = {"name": "c", "restartCount": 2, "state": {"running": {"startedAt": "2026-08-01T11:00:00Z"}}}
    got = recorded("c", "image", WAITING, before)
    assert isinstance(got.state, Terminated)
    assert (got.state.exit_code, got.state.reason, got.restarts) == (137, "ContainerStatusUnknown", 2)


def test_a_container_that_had_ended_under_an_earlier_agent_keeps_its_end() -> None:
    ended = {"exitCode": 3, "reason": "Error", "message": "m", "finishedAt": "2026-08-01T12:00:00Z"}
    got = recorded("c", "image", WAITING, {"name": "c", "state": {"terminated": ended}})
    assert got.state == Terminated(3, "Error", "m", None, NOW)


def test_a_container_that_had_not_started_starts() -> None:
    assert recorded("c", "image", WAITING, {"name": "c", "state": {"waiting": {}}}).state == WAITING
    assert recorded("c", "image", WAITING, None).state == WAITING
