"""When a job is stopped, suspended or deleted, its trainer checkpoints and leaves nothing on the node's disk."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from headrace_api.names import State
from headrace_e2e.history import terminated
from headrace_e2e.lab import ENDLESS, Lab, manifest


class Folder:
    """A folder that another program fills, wipes and finally removes: what it held when it last existed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.most: set[str] = set()
        self.last: set[str] | None = None
        self.looks = 0

    def look(self) -> None:
        with suppress(FileNotFoundError):
            found = {str(file.relative_to(self.path)) for file in self.path.rglob("*")}
            self.last = found if self.path.exists() else self.last
            self.most |= found
            self.looks += 1


@contextmanager
def looked_at(path: Path) -> Iterator[Folder]:
    """The folder, read a hundred times a second: the kubelet removes it a moment after the trainer has wiped it."""
    folder, ending = Folder(path), threading.Event()

    def look() -> None:
        while not ending.wait(0.01):
            folder.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield folder
    finally:
        ending.set()
        thread.join()


def test_a_stopped_job_keeps_its_checkpoint_and_wipes_its_workspace(lab: Lab) -> None:
    if lab.pods_folder is None:
        pytest.skip("the nodes' disks are on other machines, and the test must read one")
    job = lab.apply(manifest("stopped-1", "endings", maxIterations=ENDLESS))
    lab.until_iteration(job, 12)
    with looked_at(lab.workspace("stopped-1-1")) as folder:
        time.sleep(0.5)
        assert any("dataset" in name for name in folder.most), f"no dataset in {folder.path}: {sorted(folder.most)[:20]}"
        lab.stop(job)
        status = lab.until(job, State.STOPPED)
        lab.wait(lambda: not folder.path.exists(), "the kubelet removes the pod's folder")
    assert folder.last == set(), f"left in the workspace when the trainer had ended: {sorted(folder.last or ())[:20]}"

    assert lab.read(status, "checkpoints/latest.json")["iteration"] == status["progress"]["iteration"] >= 12
    assert status["checkpoint"]["iteration"] == status["progress"]["iteration"]
    assert lab.read(status, "outcome.json")["outcome"] == "stopped"


def test_a_suspended_job_lets_the_next_one_go_first_and_resumes_where_it_was(lab: Lab) -> None:
    first = lab.apply(manifest("paused-1", "pauses", maxIterations=200, evaluateEvery=100))
    second = lab.apply(manifest("paused-2", "pauses", maxIterations=10))
    lab.until_iteration(first, 5)
    lab.suspend(first)
    lab.until(second, State.DONE)
    paused_at = lab.history.status(first)["checkpoint"]["iteration"]
    lab.suspend(first, False)
    status = lab.until(first, State.DONE)
    assert (status["attempts"], status["restarts"], status.get("failures", 0)) == (2, 1, 0)
    assert lab.history.iterations(first) == sorted(lab.history.iterations(first)), "iterations went backwards"
    assert 5 <= paused_at < 200


def test_a_deleted_job_takes_its_pod_along_and_frees_its_project(lab: Lab) -> None:
    first = lab.apply(manifest("deleted-1", "deletions", maxIterations=ENDLESS))
    second = lab.apply(manifest("deleted-2", "deletions", maxIterations=10))
    output = lab.until_iteration(first, 5)
    lab.delete(first)
    lab.wait(lambda: lab.history.pod("deleted-1-1") is None, "the pod's end is told")
    ends = [ended for event in lab.history.of("pod", "deleted-1-1") if (ended := terminated(event.obj))]
    assert ends, "the pod vanished before its end was reported"
    assert ends[-1]["exitCode"] == 0
    assert lab.read(output, "outcome.json")["outcome"] == "stopped"
    lab.until(second, State.DONE)
