"""Failures show in the job's status; jobs recover from the ones that can be fixed, and continue from the checkpoint."""

import json

import pytest

from headrace_api.names import Reason, State
from headrace_e2e import images
from headrace_e2e.kubelet_cluster import KubeletCluster
from headrace_e2e.lab import ENDLESS, Lab, manifest
from headrace_local.access import KubectlError

# Files in /dev/shm count towards the container's limit: this plays a trainer that never frees memory. It ends once the kernel has
# killed the largest process, the worker, or together with the container, which then ends too.
FILL_MEMORY = """
import os, pathlib

def stat(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
largest = max(pids, key=lambda pid: int(stat(pid)[21]))
try:
    with open("/dev/shm/filler", "wb") as file:
        while stat(largest)[0] != "Z":
            file.write(bytes(8 << 20))
except FileNotFoundError:
    pass
os.unlink("/dev/shm/filler")
"""


def test_a_trainer_that_runs_out_of_memory_resumes_from_its_checkpoint(lab: Lab) -> None:
    resources = {"gpus": 1, "cpu": "900m", "memory": "1536Mi", "workspace": "1Gi"}
    job = lab.apply(manifest("hungry-1", "hunger", {"resources": resources}, maxIterations=400, evaluateEvery=100))
    lab.wait(lambda: lab.history.status(job).get("checkpoint", {}).get("iteration", 0) >= 10, "a checkpoint is safe")
    saved = lab.history.status(job)["checkpoint"]["iteration"]
    try:
        lab.kubectl("exec", "hungry-1-1", "--", "python", "-c", FILL_MEMORY)
    except KubectlError as error:
        if "exit code 137" not in str(error):  # the program ended with the container
            raise
    ended = lab.wait(lambda: lab.history.status(job).get("lastAttempt"), "the attempt's end is told")
    assert (ended["reason"], ended["charged"]) == (Reason.OUT_OF_MEMORY, True)

    status = lab.until(job, State.DONE)
    assert (status["attempts"], status["failures"], status["progress"]["iteration"]) == (2, 1, 400)
    assert min(lab.iterations_of_attempt(status, 2)) > saved, "the second attempt did not start from the checkpoint"


def test_a_missing_image_is_reported_and_the_deadline_ends_the_job(lab: Lab) -> None:
    image = f"{lab.cluster.registry}/headrace-trainer:no-such-tag"
    job = lab.apply(manifest("pictureless-1", "pictures", {"image": image, "preRunningDeadlineSeconds": 15}))
    lab.until_said(job, Reason.IMAGE_PULL_FAILED, "no-such-tag")
    status = lab.until(job, State.ERROR)
    assert status["reason"] == Reason.PRE_RUNNING_DEADLINE_EXCEEDED
    assert "no-such-tag" in status["message"], "the message does not name the cause"


def test_a_job_waits_for_a_registry_that_is_down_and_says_so(lab: Lab) -> None:
    if not isinstance(lab.cluster, KubeletCluster):
        pytest.skip("the registry does not belong to the tests, so they cannot take it down")
    tag = f"late-{lab.namespace}"  # new in each run: the nodes keep what they pulled
    lab.cluster.stop_registry()
    job = lab.apply(manifest("patient-1", "patience", {"image": f"{lab.cluster.registry}/headrace-trainer:{tag}"}, maxIterations=5))
    lab.until_said(job, Reason.IMAGE_PULL_FAILED, "connection refused")
    assert lab.history.status(job)["state"] == State.STARTING

    lab.cluster.start_registry()
    images.push_all(lab.cluster.registry, lab.cluster.programs["crane"], lambda _: None)
    images.retag(lab.cluster.programs["crane"], lab.images.trainer, tag)
    status = lab.until(job, State.DONE)  # the kubelet's next try comes within 40 s
    assert (status["attempts"], status.get("failures", 0)) == (1, 0)


def test_a_missing_storage_secret_is_reported_and_the_job_runs_once_it_exists(lab: Lab) -> None:
    job = lab.apply(manifest("keyless-1", "keys", {"storage": {"secretRef": {"name": "late-keys"}}}, maxIterations=5))
    lab.until_said(job, Reason.CONTAINER_CONFIG_FAILED, "late-keys")
    keys = [f"--from-literal={name}={value}" for name, value in lab.cluster.storage_environment().items()]
    lab.kubectl("create", "secret", "generic", "late-keys", *keys)
    lab.until(job, State.DONE)


def test_keys_that_the_storage_refuses_end_the_job_at_once(lab: Lab) -> None:
    wrong = lab.cluster.storage_environment() | {"AWS_SECRET_ACCESS_KEY": "guessed"}
    lab.kubectl("create", "secret", "generic", "wrong-keys", *[f"--from-literal={name}={value}" for name, value in wrong.items()])
    job = lab.apply(manifest("refused-1", "keys", {"storage": {"secretRef": {"name": "wrong-keys"}}}))
    status = lab.until(job, State.ERROR)
    assert (status["reason"], status["attempts"]) == (Reason.STORAGE_REFUSED, 1)


def test_a_layer_that_the_dataset_lacks_ends_the_job_and_the_message_lists_the_layers(lab: Lab) -> None:
    document = manifest("wrong-1", "wrong")
    document["spec"]["model"]["heads"][0]["annotations"] = "regoins"
    status = lab.until(lab.apply(document), State.ERROR)
    assert status["reason"] == Reason.NO_SUCH_LAYER
    assert "regoins" in status["message"]
    assert "regions" in status["message"], "the message does not list the layers"


def test_a_project_continues_after_a_failed_job(lab: Lab) -> None:
    """The jobs in `keys` above failed."""
    status = lab.until(lab.apply(manifest("keyless-2", "keys", maxIterations=5)), State.DONE)
    assert json.loads(lab.kubectl("get", "tj", "refused-1", "-o", "json"))["status"]["state"] == State.ERROR
    assert status["restarts"] == 0


def test_an_invalid_job_is_refused_at_once(lab: Lab) -> None:
    document = manifest("senseless-1", "sense", maxIterations=ENDLESS)
    document["spec"]["model"]["heads"][0]["objectDetection"] = {}
    with pytest.raises(Exception, match="exactly one"):
        lab.apply(document)
