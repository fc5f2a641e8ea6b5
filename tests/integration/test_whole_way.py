"""All parts together: real API server and scheduler, the operator's own process, the process node, the real trainer, real S3."""

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace_api import runfolder
from headrace_local.access import ClusterAccess
from headrace_local.storage_setup import SECRET_NAME, create_storage
from headrace_local.waiting import wait_until
from headrace_scenes import write_digit_scenes
from headrace_testing.clusters import Storage
from headrace_testing.operators import OperatedNamespace, operated_namespace
from headrace_testing.process_nodes import TAINT, NodeForTests

Json = dict[str, Any]
PATIENCE = 150
"""Seconds, on a busy machine; a trainer needs about 10 to its first iteration."""


@dataclass
class House:
    """Operator, node and storage of these tests."""

    operated: OperatedNamespace
    node: NodeForTests
    storage: Storage

    def apply(self, name: str, project: str, annotations: str = "regions", **training: Any) -> None:
        """Applies a small job with one head."""
        spec = {
            "project": project,
            "dataset": {"uri": self.storage.uri("dataset/")},
            "storage": {"secretRef": {"name": SECRET_NAME}},
            "output": {"uri": self.storage.uri("runs/")},
            "model": {
                "backbone": {"name": "resnet18", "topLevel": 3},
                "heads": [{"name": "head", "annotations": annotations, "semanticSegmentation": {}}],
            },
            "training": {"batchSize": 2, "imageSize": {"height": 32, "width": 32}, "checkpointEvery": 2, **training},
            "resources": {"gpus": 1, "cpu": 1, "memory": "4Gi", "workspace": "1Gi"},
            "scheduling": {
                "nodeSelector": {"kubernetes.io/hostname": self.node.name},
                "tolerations": [{"key": TAINT, "operator": "Exists"}],
            },
            "terminationGracePeriodSeconds": 60,
        }
        document = {"apiVersion": "headrace.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", input=json.dumps(document))

    def kubectl(self, *words: str, input: str | None = None) -> str:
        return self.operated.cluster.kubectl("-n", self.operated.name, *words, input=input)

    def stop(self, name: str) -> None:
        self.kubectl("patch", "tj", name, "--type=merge", "-p", '{"spec":{"stop":true}}')

    def status(self, name: str) -> Json:
        status: Json = json.loads(self.kubectl("get", "tj", name, "-o", "json")).get("status", {})
        return status

    def until(self, name: str, *states: str) -> Json:
        """The job's status once its state is one of `states`."""

        def reached() -> Json | None:
            status = self.status(name)
            ended = status.get("state") in {"Done", "Stopped", "Error"}
            assert not ended or status["state"] in states, f"{name} is {status['state']}: {status.get('message')}"
            return status if status.get("state") in states else None

        return wait_until(reached, f"{name} is {' or '.join(states)}", PATIENCE)

    def until_iteration(self, name: str, iteration: int) -> Json:
        def reached() -> Json | None:
            status = self.status(name)
            return status if status.get("progress", {}).get("iteration", 0) >= iteration else None

        return wait_until(reached, f"{name} is at iteration {iteration}", PATIENCE)

    def keys(self, status: Json) -> list[str]:
        """Keys of a run folder, relative to it."""
        prefix = status["output"].removeprefix(self.storage.uri())
        found = self.storage.client.list_objects(self.storage.bucket, prefix, recursive=True)
        return [item.object_name.removeprefix(prefix) for item in found]

    def read(self, status: Json, key: str) -> bytes:
        prefix = status["output"].removeprefix(self.storage.uri())
        content: bytes = self.storage.client.get_object(self.storage.bucket, prefix + key).read()
        return content

    def pod(self, name: str) -> Json:
        pod: Json = json.loads(self.kubectl("get", "pod", name, "-o", "json"))
        return pod

    def workspace(self, pod: Json) -> Path:
        """Where the pod's workspace is on the node's disk."""
        return self.operated.cluster.folder / "nodes" / self.node.name / "pods" / pod["metadata"]["uid"] / "volumes" / "workspace"


@pytest.fixture(scope="module")
def house(cluster: ClusterAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    scenes = tmp_path_factory.mktemp("scenes")
    write_digit_scenes(scenes, train=8, val=4, size=32, others_share=0)
    node = NodeForTests.start(cluster, images={"trainer:test": [sys.executable, "-m", "headrace_trainer"]})
    with operated_namespace(cluster) as operated:
        create_storage(cluster, operated.name, [operated.name])
        storage = Storage(cluster.minio(), operated.name, cluster.s3_endpoint, cluster.storage_environment())
        for path in scenes.rglob("*"):
            if path.is_file():
                storage.client.fput_object(storage.bucket, f"dataset/{path.relative_to(scenes)}", str(path))
        operated.start()
        yield House(operated, node, storage)
        operated.cluster.kubectl("-n", operated.name, "delete", "tj", "--all", "--cascade=foreground", "--timeout=90s")
        storage.empty()
    node.stop()


def test_jobs_of_a_project_train_one_after_the_other_from_queued_to_done(house: House) -> None:
    house.apply("first", "order", maxIterations=6, evaluateEvery=3)
    house.apply("second", "order", annotations="digit-regions")
    waiting = wait_until(lambda: house.status("second").get("message") and house.status("second"), "second says why it waits", 30)
    assert waiting["message"].startswith("behind first")

    done = house.until("first", "Done")
    assert done["reason"] == "ReachedMaxIterations"
    assert done["progress"]["iteration"] == 6
    assert {metric["name"] for metric in done["progress"]["metrics"]} == {"mIoU", "pixelAccuracy"}
    keys = house.keys(done)
    assert {runfolder.JOB, runfolder.OUTCOME, runfolder.LATEST, runfolder.BEST, "model/model.safetensors"} <= set(keys)
    pictures = {
        iteration: [key for key in keys if key.startswith(runfolder.picture(iteration, "head", ""))] for iteration in (3, 6)
    }
    assert 0 < len(pictures[3]) == len(pictures[6]) <= 8
    assert len([key for key in keys if key.startswith(runfolder.truth_picture("head", ""))]) == len(pictures[6])
    assert {runfolder.CURVES, runfolder.MODEL + runfolder.MODEL_CARD} <= set(keys)
    log = house.read(done, "attempts/1/log.txt").decode()
    assert "head 'head' learns from layer 'regions'" in log
    assert log in house.kubectl("logs", "first-1"), "the run folder must have the log that kubectl shows"
    pod = house.pod("first-1")
    workspace = house.workspace(pod)
    assert workspace.is_dir()
    assert [path for path in workspace.rglob("*") if path.is_file()] == []

    refused = house.until("second", "Error")
    assert refused["reason"] == "NoSuchLayer"
    assert "no layer 'digit-regions'; its layers are: 'objects' (object detection)" in refused["message"]
    assert done["completionTime"][:19] <= refused["startTime"][:19], "pod creation times are in whole seconds"


def test_a_running_job_shows_its_progress_and_a_stop_keeps_a_checkpoint(house: House) -> None:
    house.apply("endless", "stopped", maxIterations=100_000, checkpointEvery=100_000, evaluateEvery=100_000)
    running = house.until_iteration("endless", 3)
    assert running["state"] == "Running"
    address = house.pod(running["pod"])["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8080/metrics") as answer:
        metrics = answer.read().decode()
    assert 'headrace_trainer_loss{head="head",term="classification"}' in metrics
    workspace = house.workspace(house.pod(running["pod"]))
    assert any(path.is_file() for path in workspace.rglob("*")), "no dataset in the workspace while it trains"

    house.stop("endless")
    stopped = house.until("endless", "Stopped")
    latest = json.loads(house.read(stopped, runfolder.LATEST))
    assert stopped["checkpoint"]["iteration"] == latest["iteration"] >= 3
    assert stopped["progress"]["iteration"] == latest["iteration"], "iterations before the stop were lost"
    assert not workspace.exists() or not any(path.is_file() for path in workspace.rglob("*"))


def test_a_killed_trainer_resumes_from_its_checkpoint(house: House) -> None:
    house.apply("killed", "killed", maxIterations=100_000, checkpointEvery=2, evaluateEvery=100_000)

    def has_checkpoint() -> Json | None:
        status = house.status("killed")
        return status if status.get("checkpoint") else None

    before = wait_until(has_checkpoint, "a checkpoint is in the run folder", PATIENCE)
    container = house.pod(before["pod"])["status"]["containerStatuses"][0]["containerID"]
    os.kill(int(container.removeprefix("process://")), signal.SIGKILL)

    def second_attempt_trains() -> Json | None:
        status = house.status("killed")
        again = status.get("attempts") == 2 and status.get("state") == "Running"
        return status if again and status["progress"]["iteration"] > before["checkpoint"]["iteration"] else None

    after = wait_until(second_attempt_trains, "the second attempt trains", PATIENCE)
    assert (after["failures"], after["restarts"]) == (1, 1)
    assert "resuming from iteration" in house.kubectl("logs", after["pod"])
    house.stop("killed")
    house.until("killed", "Stopped")
