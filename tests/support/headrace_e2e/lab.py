"""Lets tests use a cluster with Headrace as users would: only through kubectl, S3 and the node's disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from minio import Minio

from headrace_api import names
from headrace_api.names import State
from headrace_e2e.given_cluster import GivenCluster
from headrace_e2e.history import History
from headrace_e2e.images import Pushed
from headrace_e2e.kubelet_cluster import KubeletCluster
from headrace_e2e.release import Release

Json = dict[str, Any]
T = TypeVar("T")

PATIENCE = 120
"""Seconds to wait for something that takes about 20 s on two idle cores."""
BUCKET = "headrace"
SECRET = "headrace-storage"


def manifest(name: str, project: str, spec: Json | None = None, **training: Any) -> Json:
    """A TrainingJob with a tiny network, which trains for a few seconds.

    Args:
        spec: fields of the spec to replace.
        training: fields of `spec.training` to replace.
    """
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {
            "project": project,
            "dataset": {"uri": f"s3://{BUCKET}/dataset/"},
            "storage": {"secretRef": {"name": SECRET}},
            "output": {"uri": f"s3://{BUCKET}/runs/"},
            "model": {
                "backbone": {"name": "resnet18", "topLevel": 3},
                "heads": [{"name": "regions", "annotations": "regions", "semanticSegmentation": {}}],
            },
            "training": {
                "maxIterations": 40,
                "batchSize": 4,
                "imageSize": {"height": 64, "width": 64},
                "schedule": {"warmupIterations": 2},
                "evaluateEvery": 10,
                "checkpointEvery": 10,
                **training,
            },
            # Less than one core each: two trainers and the operator must fit on two cores.
            "resources": {"gpus": 1, "cpu": "900m", "memory": "3Gi", "workspace": "1Gi"},
            "terminationGracePeriodSeconds": 60,
            **(spec or {}),
        },
    }


ENDLESS = 1_000_000
"""For `maxIterations`, if the test ends the job."""


@dataclass
class Lab:
    """A namespace with jobs, and ways to watch them."""

    cluster: GivenCluster | KubeletCluster
    release: Release
    images: Pushed
    history: History
    store: Minio
    prometheus_url: str
    pods_folder: Path | None
    """The kubelet's folder of pods if it is on this machine's disk, else None."""

    @property
    def namespace(self) -> str:
        return self.history.namespace

    def kubectl(self, *words: str, input: str | None = None) -> str:
        """Runs kubectl in the jobs' namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words, input=input)

    def apply(self, document: Json) -> str:
        """Applies a job and returns its name."""
        self.kubectl("apply", "-f", "-", input=json.dumps(document))
        name: str = document["metadata"]["name"]
        return name

    def stop(self, job: str) -> None:
        """Stops the job as its user would."""
        self.kubectl("patch", "tj", job, "--type=merge", "-p", '{"spec":{"stop":true}}')

    def suspend(self, job: str, suspend: bool = True) -> None:
        self.kubectl("patch", "tj", job, "--type=merge", "-p", json.dumps({"spec": {"suspend": suspend}}))

    def wait(self, ready: Callable[[], T | None], what: str, timeout: float = PATIENCE) -> T:
        """`History.wait`, with the end of the operator's log in the error."""
        try:
            return self.history.wait(ready, what, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.release.operator_logs()}") from None

    def until(self, job: str, *states: State, timeout: float = PATIENCE) -> Json:
        """The job's status once its state is one of these; any other final state is a failure."""

        def reached() -> Json | None:
            status = self.history.status(job)
            state = status.get("state")
            over = state is not None and State(state).final
            assert not over or state in states, f"{job} is {state}: {status.get('message')}"
            return status if state in states else None

        return self.wait(reached, f"{job} is {' or '.join(states)}", timeout)

    def until_iteration(self, job: str, iteration: int) -> Json:
        """The job's status once it has completed this many iterations."""

        def reached() -> Json | None:
            status = self.history.status(job)
            return status if status.get("progress", {}).get("iteration", 0) >= iteration else None

        return self.wait(reached, f"{job} is at iteration {iteration}")

    def until_said(self, job: str, *words: str, timeout: float = PATIENCE) -> Json:
        """The job's status once its reason and message contain all of these."""

        def said() -> Json | None:
            status = self.history.status(job)
            text = f"{status.get('reason')} {status.get('message')}"
            return status if all(word in text for word in words) else None

        return self.wait(said, f"the status of {job} says {', '.join(words)}", timeout)

    def delete(self, job: str) -> None:
        """Deletes the job and waits until its pods are gone."""
        self.kubectl("delete", "tj", job, "--cascade=foreground", f"--timeout={PATIENCE}s")

    def keys(self, status: Json) -> set[str]:
        """The files in a job's run folder, relative to it."""
        prefix = status["output"].removeprefix(f"s3://{BUCKET}/")
        return {found.object_name.removeprefix(prefix) for found in self.store.list_objects(BUCKET, prefix, recursive=True)}

    def read(self, status: Json, key: str) -> Any:
        """A JSON file in a job's run folder."""
        return json.loads(self._bytes(status, key))

    def _bytes(self, status: Json, key: str) -> bytes:
        prefix = status["output"].removeprefix(f"s3://{BUCKET}/")
        with self.store.get_object(BUCKET, prefix + key) as answer:
            content: bytes = answer.read()
            return content

    def iterations_of_attempt(self, status: Json, attempt: int) -> list[int]:
        """The iterations that an attempt reported in the run folder."""
        found = []
        for key in sorted(key for key in self.keys(status) if key.startswith(f"attempts/{attempt}/metrics")):
            found += [json.loads(line)["iteration"] for line in self._bytes(status, key).splitlines()]
        return found

    def workspace(self, pod: str) -> Path:
        """The folder of a pod's workspace on the node's disk."""
        assert self.pods_folder is not None
        found = self.history.pod(pod)
        assert found is not None
        uid: str = found["metadata"]["uid"]
        return self.pods_folder / uid / "volumes/kubernetes.io~empty-dir/workspace"

    def run_python(self, name: str, pod: Json, program: str) -> str:
        """Runs a program in a new pod made from this one, and returns its output."""
        pod["metadata"] = {"name": name}
        pod["spec"]["restartPolicy"] = "Never"
        pod["spec"]["containers"][0]["command"] = ["python", "-c", program]
        self.kubectl("apply", "-f", "-", input=json.dumps(pod))
        self.wait(
            lambda: (self.history.pod(name) or {}).get("status", {}).get("phase") in {"Succeeded", "Failed"}, f"{name} is over"
        )
        said = self.kubectl("logs", name)
        self.kubectl("delete", "pod", name, "--wait=false")
        return said
