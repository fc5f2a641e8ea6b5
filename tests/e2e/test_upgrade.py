"""`helm upgrade` during a job: afterwards the operator is another process, and the job has not noticed."""

from headrace_api.names import State
from headrace_e2e.lab import Lab, manifest


def test_a_job_runs_on_while_the_operator_is_rolled_over(lab: Lab) -> None:
    job = lab.apply(manifest("steady-1", "steady", maxIterations=600, evaluateEvery=100))
    behind = lab.apply(manifest("steady-2", "steady", maxIterations=5))
    before = lab.until_iteration(job, 5)["progress"]["iteration"]
    old = {pod["metadata"]["uid"] for pod in lab.release.operator_pods()}
    trainer = lab.history.pod("steady-1-1")
    assert trainer is not None

    lab.release.upgrade(podAnnotations={"e2e": "rolled over"})

    assert lab.history.status(job)["state"] == State.RUNNING, "the job ended before the old operators did, so this proves nothing"
    new = {pod["metadata"]["uid"] for pod in lab.release.operator_pods() if not pod["metadata"].get("deletionTimestamp")}
    assert new
    assert not new & old, "an old operator pod is still running"
    still = lab.history.pod("steady-1-1")
    assert still is not None
    assert still["metadata"]["uid"] == trainer["metadata"]["uid"]
    lab.wait(lambda: lab.history.status(job)["progress"]["iteration"] > before, "the new operator tells of progress")
    status = lab.until(job, State.DONE)
    assert (status["attempts"], status["restarts"]) == (1, 0)
    lab.until(behind, State.DONE)
