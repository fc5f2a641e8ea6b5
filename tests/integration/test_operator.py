"""The operator as a process under its own account, on a real API server; the test plays the pods."""

import json
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from headrace_api import names
from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_local.access import ClusterAccess
from headrace_testing.operators import OperatedNamespace, operated_namespace
from headrace_testing.players import Player, eventually


@pytest.fixture(scope="module")
def operated(cluster: ClusterAccess) -> Iterator[OperatedNamespace]:
    with operated_namespace(cluster) as operated:
        operated.start()
        yield operated


@pytest.fixture(scope="module")
def player(operated: OperatedNamespace) -> Iterator[Player]:
    player = Player(operated.cluster, operated.name)
    yield player
    player.close()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project for one test; job names begin with it."""
    return request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-")


def test_jobs_of_a_project_run_one_after_another_and_projects_do_not_wait_for_each_other(player: Player) -> None:
    for name in ("order-1", "order-2", "order-3"):
        player.apply(name, "order")
    player.apply("other-1", "other")

    player.run("order-1-1")
    player.run("other-1-1")
    player.await_state("other-1", "Running")
    assert player.await_state("order-1", "Running")["attempts"] == 1
    assert player.await_state("order-2", "Queued", Reason.WAITING_FOR_EARLIER_JOB)["message"] == "behind order-1 (2nd in line)"
    assert player.await_state("order-3", "Queued")["message"] == "behind order-1, order-2 (3rd in line)"
    assert [pod["metadata"]["name"] for pod in player.pods("order")] == ["order-1-1"]

    player.done("order-1-1")
    player.run("order-2-1")
    status = player.await_state("order-1", "Done", Reason.REACHED_MAX_ITERATIONS)
    assert status["progress"]["iteration"] == 10
    assert status["checkpoint"]["iteration"] == 10
    assert {c["type"]: c["status"] for c in status["conditions"]}["Succeeded"] == "True"
    player.done("order-2-1")
    player.run("order-3-1")
    player.done("order-3-1")
    player.await_state("order-3", "Done")
    player.done("other-1-1")


def test_the_next_job_gets_its_pod_within_a_second(player: Player) -> None:
    player.apply("fast-1", "fast")
    player.apply("fast-2", "fast")
    player.run("fast-1-1")
    player.done("fast-1-1")
    ended = time.monotonic()
    player.await_pod("fast-2-1")
    assert time.monotonic() - ended < 1
    player.done_by_hand("fast-2")


def test_a_running_job_that_is_stopped_checkpoints_first(player: Player, project: str) -> None:
    player.apply("stopped", project)
    player.run("stopped-1")
    player.await_state("stopped", "Running")
    player.change("stopped", stop=True)
    player.await_told_to_end("stopped-1")
    status = player.await_state("stopped", "Running", Reason.STOPPING)
    assert {c["type"]: c["status"] for c in status["conditions"]}["Stopping"] == "True"
    player.end("stopped-1", Verdict.STOPPED, Reason.INTERRUPTED, iteration=4)
    status = player.await_state("stopped", "Stopped", Reason.STOPPED_BY_USER)
    assert status["progress"]["iteration"] == 4
    assert "at iteration 4" in status["message"]
    assert status["checkpoint"]["uri"] in status["message"]


def test_a_job_that_reaches_its_end_while_being_stopped_is_done(player: Player, project: str) -> None:
    player.apply("nearly", project)
    player.run("nearly-1")
    player.change("nearly", stop=True)
    player.await_told_to_end("nearly-1")
    player.done("nearly-1")
    player.await_state("nearly", "Done")


def test_a_waiting_job_that_is_stopped_is_over_at_once_and_lets_others_go(player: Player, project: str) -> None:
    for name in ("line-1", "line-2", "line-3"):
        player.apply(name, project)
    player.run("line-1-1")
    player.await_state("line-2", "Queued")
    player.change("line-2", stop=True)
    player.await_state("line-2", "Stopped")
    player.done("line-1-1")
    player.await_pod("line-3-1")
    assert player.pod("line-2-1") is None
    player.done_by_hand("line-3")


def test_a_job_whose_pod_has_no_runner_yet_is_queued_and_can_be_stopped(player: Player, project: str) -> None:
    player.apply("unplaced", project)
    player.await_pod("unplaced-1")
    player.await_state("unplaced", "Queued", Reason.WAITING_FOR_RUNNER)
    player.change("unplaced", stop=True)
    player.await_state("unplaced", "Stopped")
    assert player.pod("unplaced-1") is None


def test_a_paused_job_leaves_its_runner_and_resumes_before_later_ones(player: Player, project: str) -> None:
    player.apply("pause-1", project)
    player.apply("pause-2", project)
    player.apply("pause-3", project)
    player.run("pause-1-1")
    player.change("pause-1", suspend=True)
    player.await_told_to_end("pause-1-1")
    player.end("pause-1-1", Verdict.STOPPED, Reason.INTERRUPTED, iteration=3)
    player.await_state("pause-1", "Queued", Reason.SUSPENDED)
    player.run("pause-2-1")
    player.change("pause-1", suspend=False)
    player.await_state("pause-1", "Queued", Reason.WAITING_FOR_POD_TO_END)
    player.done("pause-2-1")
    player.run("pause-1-2")
    status = player.await_state("pause-1", "Running")
    assert (status["attempts"], status["restarts"], status["failures"]) == (2, 1, 0)
    assert player.pod("pause-3-1") is None
    player.done("pause-1-2")
    player.await_state("pause-1", "Done")
    player.done_by_hand("pause-3")


def test_a_failed_trainer_is_retried_with_growing_pauses_until_its_limit(player: Player, project: str) -> None:
    player.apply("flaky", project, backoffLimit=1)
    player.apply("patient", project)
    player.run("flaky-1")
    player.end("flaky-1", Verdict.ERROR, Reason.STORAGE_UNAVAILABLE, code=1, message="no answer from the storage")
    status = player.await_state("flaky", "Queued", Reason.WAITING_FOR_RETRY)
    assert "no answer from the storage" in status["message"]
    assert "attempt 2 at" in status["message"]
    assert (status["failures"], status["lastAttempt"]["exitCode"], status["lastAttempt"]["charged"]) == (1, 1, True)
    player.run("flaky-2")
    assert player.pod("patient-1") is None
    player.exit("flaky-2", 137, reason="OOMKilled")
    status = player.await_state("flaky", "Error", Reason.BACKOFF_LIMIT_EXCEEDED)
    assert "out of memory" in status["message"]
    assert f"{status['output']}attempts/2/" in status["message"]
    player.done_by_hand("patient")


def test_an_error_for_good_is_not_retried(player: Player, project: str) -> None:
    player.apply("hopeless", project)
    player.run("hopeless-1")
    message = "layer 'instances' holds object detection; heads can use it for: object detection"
    player.end("hopeless-1", Verdict.ERROR, Reason.NO_CONVERSION, code=2, message=message)
    status = player.await_state("hopeless", "Error", Reason.NO_CONVERSION)
    assert message in status["message"]
    assert status["attempts"] == 1


def test_a_message_that_is_not_an_outcome_is_shown_as_it_is(player: Player, project: str) -> None:
    player.apply("garbled", project, backoffLimit=0)
    player.run("garbled-1")
    player.exit("garbled-1", 1, "Traceback (most recent call last): boom")
    status = player.await_state("garbled", "Error", Reason.BACKOFF_LIMIT_EXCEEDED)
    assert "Traceback (most recent call last): boom" in status["message"]
    assert status["lastAttempt"]["reason"] == Reason.TRAINER_CRASHED


def test_an_eviction_costs_nothing(player: Player, project: str) -> None:
    player.apply("evicted", project, backoffLimit=0)
    player.run("evicted-1")
    player.condition("evicted-1", "DisruptionTarget", "True", "EvictionByEvictionAPI")
    player.core.delete_namespaced_pod("evicted-1", player.namespace)
    player.await_told_to_end("evicted-1")
    player.exit("evicted-1", 137)
    player.run("evicted-2")
    status = player.await_state("evicted", "Running")
    assert (status["attempts"], status["failures"]) == (2, 0)
    player.done("evicted-2")


def test_a_pod_deleted_by_hand_is_followed_by_another_attempt(player: Player, project: str) -> None:
    player.apply("handled", project, backoffLimit=0)
    player.run("handled-1")
    player.await_state("handled", "Running")
    player.remove("handled-1")
    player.run("handled-2")
    assert player.await_state("handled", "Running")["lastAttempt"]["reason"] == "PodVanished"
    player.done("handled-2")


def test_a_pod_that_hangs_in_terminating_keeps_the_slot(player: Player, project: str) -> None:
    player.apply("hang-1", project)
    player.apply("hang-2", project)
    player.run("hang-1-1")
    player.await_state("hang-1", "Running")
    player.delete("hang-1")
    player.await_told_to_end("hang-1-1")
    status = player.await_state("hang-2", "Queued", Reason.WAITING_FOR_POD_TO_END)
    assert status["message"] == "first in line; waiting for pod hang-1-1 to end"
    assert len(player.pods(project)) == 1
    player.end("hang-1-1", Verdict.STOPPED, Reason.INTERRUPTED)
    player.await_pod("hang-2-1")
    player.done_by_hand("hang-2")


@pytest.mark.parametrize("phase", ["waiting", "unplaced", "starting", "running", "over"])
def test_a_job_deleted_in_any_state_frees_its_project(player: Player, phase: str) -> None:
    project, first, second = f"del-{phase}", f"del-{phase}-1", f"del-{phase}-2"
    if phase == "waiting":
        player.apply(f"del-{phase}-0", project)
        player.await_pod(f"del-{phase}-0-1")
    player.apply(first, project)
    player.apply(second, project)
    if phase == "waiting":
        player.await_state(first, "Queued", Reason.WAITING_FOR_EARLIER_JOB)
    else:
        player.await_pod(f"{first}-1")
    if phase == "starting":
        player.schedule(f"{first}-1")
        player.await_state(first, "Starting")
    elif phase in ("running", "over"):
        player.run(f"{first}-1")
        player.await_state(first, "Running")
    if phase == "over":
        player.done(f"{first}-1")
        player.await_state(first, "Done")
    player.delete(first)
    if phase in ("starting", "running"):
        player.await_told_to_end(f"{first}-1")
        player.exit(f"{first}-1", 0)
    if phase == "waiting":
        player.done_by_hand(f"del-{phase}-0")
    player.await_pod(f"{second}-1")
    eventually("the deleted job's pod is gone", lambda: player.pod(f"{first}-1") is None)
    player.done_by_hand(second)


def test_the_same_name_deleted_and_applied_again_is_another_job(player: Player, project: str) -> None:
    player.apply("again", project)
    player.run("again-1")
    first = player.await_state("again", "Running")
    old_pod = player.await_pod("again-1")["metadata"]["uid"]
    player.delete("again")
    player.apply("again", project)
    player.await_state("again", "Queued", Reason.WAITING_FOR_POD_TO_END)
    player.await_told_to_end("again-1")
    player.end("again-1", Verdict.STOPPED, Reason.INTERRUPTED)
    player.await_pod("again-1", gone=old_pod)
    player.run("again-1")
    second = player.await_state("again", "Running")
    assert second["attempts"] == 1
    assert second["output"] != first["output"]
    player.done("again-1")
    player.await_state("again", "Done")


def test_a_job_applied_again_in_another_project_waits_for_the_pod_of_its_name(player: Player) -> None:
    player.apply("moved", "from")
    player.run("moved-1")
    player.delete("moved")
    player.apply("moved", "to")
    status = player.await_state("moved", "Queued", Reason.WAITING_FOR_POD_TO_END)
    assert "of an earlier job of this name (project from) is in the way" in status["message"]
    old_pod = player.await_told_to_end("moved-1")["metadata"]["uid"]
    player.exit("moved-1", 0)
    player.await_pod("moved-1", gone=old_pod)
    player.done_by_hand("moved")


def test_a_pod_of_a_lost_node_costs_nothing(player: Player, project: str) -> None:
    # In namespaced mode the pod garbage collector's forced deletion resolves this; here is what a watcher sees.
    player.apply("lost", project, backoffLimit=0)
    player.run("lost-1")
    player.await_state("lost", "Running")
    player.condition("lost-1", "DisruptionTarget", "True", "DeletionByPodGC")
    player.remove("lost-1")
    player.run("lost-2")
    assert player.await_state("lost", "Running")["failures"] == 0
    player.done("lost-2")


def test_what_keeps_a_pod_from_starting_is_in_the_status_until_its_deadline(player: Player, project: str) -> None:
    player.apply("unpulled", project, preRunningDeadlineSeconds=3)
    player.schedule("unpulled-1")
    player.wait_in_container("unpulled-1", "ImagePullBackOff", 'Back-off pulling image "nowhere/trainer"')
    status = player.await_state("unpulled", "Starting", Reason.IMAGE_PULL_FAILED)
    assert 'Back-off pulling image "nowhere/trainer"' in status["message"]
    status = player.await_state("unpulled", "Error", Reason.PRE_RUNNING_DEADLINE_EXCEEDED)
    assert "not Running 3 s after" in status["message"]
    assert "Back-off pulling image" in status["message"]
    player.await_told_to_end("unpulled-1")
    player.exit("unpulled-1", 137)


def test_a_job_without_storage_ends_at_once_and_says_how_to_fix_it(player: Player, project: str) -> None:
    player.apply("keyless", project, storage=None)
    status = player.await_state("keyless", "Error", Reason.MISSING_STORAGE)
    assert "set spec.storage.secretRef.name" in status["message"]
    assert player.pod("keyless-1") is None


def test_a_pod_that_a_quota_refuses_is_tried_again(player: Player, operated: OperatedNamespace, project: str) -> None:
    player.cluster.kubectl("create", "quota", "no-gpu", "--hard=requests.nvidia.com/gpu=0", "-n", operated.name)
    try:
        player.apply("crowded", project)
        status = player.await_state("crowded", "Queued", Reason.POD_REFUSED)
        assert "exceeded quota: no-gpu" in status["message"]
        player.change("crowded", stop=True)
        player.await_state("crowded", "Stopped")
    finally:
        player.cluster.kubectl("delete", "quota", "no-gpu", "-n", operated.name)


def test_a_pod_that_is_invalid_ends_the_job(player: Player, project: str) -> None:
    player.apply("misplaced", project, scheduling={"nodeSelector": {"not a label": "x"}})
    status = player.await_state("misplaced", "Error", Reason.POD_REFUSED)
    assert "not a label" in status["message"]


def test_a_finished_job_is_deleted_after_its_ttl(player: Player, project: str) -> None:
    player.apply("brief", project, ttlSecondsAfterFinished=1)
    player.done_by_hand("brief", wait=False)
    eventually("the job is deleted", lambda: player.job("brief") is None)


def test_the_spec_of_a_finished_job_changes_nothing(player: Player, project: str) -> None:
    player.apply("settled", project)
    player.done_by_hand("settled")
    player.change("settled", stop=True)
    player.apply("settled-2", project)
    player.await_pod("settled-2-1")
    assert player.status("settled")["state"] == "Done"
    player.done_by_hand("settled-2")


def test_every_transition_leaves_an_event(player: Player, operated: OperatedNamespace, project: str) -> None:
    player.apply("told", project)
    player.run("told-1")
    player.await_state("told", "Running")
    player.done("told-1")
    player.await_state("told", "Done")

    def reasons() -> set[str]:
        selector = "involvedObject.kind=TrainingJob,involvedObject.name=told"
        return set(
            player.cluster.kubectl(
                "get", "events", "-n", operated.name, f"--field-selector={selector}", "-o=jsonpath={.items[*].reason}"
            ).split()
        )

    eventually("events", lambda: {"Running", "Done"} <= reasons())


def test_progress_of_a_running_trainer_reaches_the_status(player: Player, project: str) -> None:
    answer = {"phase": "Training", "message": "training", "progress": {"iteration": 4, "maxIterations": 10, "percentage": 40}}

    class Trainer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200 if self.path == "/status" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    address = "127.77.1.9"  # the pod's own, so that the port need not be free elsewhere
    with ThreadingHTTPServer((address, names.PORT), Trainer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        player.apply("watched", project)
        player.run("watched-1", address=address)
        eventually("iteration 4", lambda: player.status("watched").get("progress", {}).get("iteration") == 4)
        answer["progress"] = {"iteration": 9, "maxIterations": 10, "percentage": 90}
        eventually("iteration 9", lambda: player.status("watched").get("progress", {}).get("percentage") == 90)
        server.shutdown()
    player.done("watched-1")


def test_the_pod_reads_its_job_from_a_file_and_its_keys_from_the_secret(player: Player, project: str) -> None:
    player.apply("read", project, resources={"gpus": 0, "cpu": "1500m"})
    pod = player.await_pod("read-1")
    job = json.loads(pod["metadata"]["annotations"][names.ANNOTATION_JOB])
    assert job["metadata"]["uid"] == player.job("read")["metadata"]["uid"]  # type: ignore[index]
    assert job["spec"]["image"] == "trainer:test"
    container = pod["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"cpu": "1500m", "memory": "16Gi"}
    key = next(env for env in container["env"] if env["name"] == "AWS_ACCESS_KEY_ID")["valueFrom"]["secretKeyRef"]
    assert key == {"name": "headrace-storage", "key": "AWS_ACCESS_KEY_ID"}
    player.done_by_hand("read")


def test_metrics_count_what_it_did(operated: OperatedNamespace, player: Player, project: str) -> None:
    player.apply("counted", project)
    player.done_by_hand("counted")
    url = f"http://127.0.0.1:{operated.port}/metrics"
    with urllib.request.urlopen(url) as response:
        text = response.read().decode()
    assert f'headrace_jobs{{namespace="{operated.name}",project="{project}",state="Done"}} 1.0' in text
    assert 'headrace_jobs_ended_total{state="Done"}' in text
    assert "headrace_leader 1.0" in text
    assert 'headrace_api_requests_total{code="201",verb="POST"}' in text
    assert "headrace_start_latency_seconds_bucket" in text
