"""`helm uninstall` during a job: the job's trainer continues, and a new installation takes over from there."""

from headrace_api.names import State
from headrace_e2e.lab import Lab, manifest


def test_jobs_and_their_pods_outlive_the_release(lab: Lab) -> None:
    job = lab.apply(manifest("left-1", "left", maxIterations=300, evaluateEvery=100))
    behind = lab.apply(manifest("left-2", "left", maxIterations=5))
    lab.until_iteration(job, 5)
    trainer = lab.history.pod("left-1-1")
    assert trainer is not None

    lab.release.uninstall()

    assert not [pod for pod in lab.release.operator_pods() if not pod["metadata"].get("deletionTimestamp")]
    still = lab.history.pod("left-1-1")
    assert still is not None
    assert still["metadata"]["uid"] == trainer["metadata"]["uid"]
    assert not still["metadata"].get("deletionTimestamp")
    assert "left-1" in lab.kubectl("get", "tj", "-o", "name")
    lab.wait(lambda: phase(lab, "left-1-1") == "Succeeded", "the trainer ends by itself, without an operator")
    assert lab.history.pod("left-2-1") is None, "something started the next job"

    lab.release.install()

    status = lab.until(job, State.DONE)
    assert (status["attempts"], status["progress"]["iteration"]) == (1, 300)
    lab.until(behind, State.DONE)


def phase(lab: Lab, pod: str) -> str | None:
    found: str | None = (lab.history.pod(pod) or {}).get("status", {}).get("phase")
    return found
