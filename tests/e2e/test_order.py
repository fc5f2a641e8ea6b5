"""Jobs of one project run one after another, in the order they were applied; projects run side by side; each job leaves a model."""

import pytest

from headrace_api.names import State
from headrace_e2e.lab import Lab, manifest

HEADS = [
    {"name": "regions", "annotations": "regions", "semanticSegmentation": {}},
    {"name": "digits", "annotations": "digits", "objectDetection": {}},
]
JOBS = {"north": ["north-1", "north-2"], "south": ["south-1", "south-2"]}


@pytest.fixture(scope="module")
def over(lab: Lab) -> None:
    """Two projects with two jobs each, all applied at once, all finished."""
    model = {
        "backbone": {"name": "resnet18", "topLevel": 4},
        "neck": {"fpn": {"channels": 32}, "bottomLevel": 2, "topLevel": 4},
        "heads": HEADS,
    }
    for jobs in zip(*JOBS.values(), strict=True):
        for job in jobs:
            lab.apply(manifest(job, job.partition("-")[0], {"model": model}))
    for jobs in JOBS.values():
        for job in jobs:
            lab.until(job, State.DONE, timeout=300)


@pytest.mark.usefixtures("over")
@pytest.mark.parametrize("project", JOBS)
def test_the_second_job_waits_for_the_first(lab: Lab, project: str) -> None:
    first, second = (lab.history.states(job) for job in JOBS[project])
    assert [state for state, _ in first][-2:] == [State.RUNNING, State.DONE]
    assert [state for state, _ in second] == [State.QUEUED, State.STARTING, State.RUNNING, State.DONE]
    assert dict(second)[State.STARTING] > dict(first)[State.DONE]


@pytest.mark.usefixtures("over")
def test_projects_run_side_by_side(lab: Lab) -> None:
    assert any({"north", "south"} <= live.keys() for live in lab.history.live_pods())


@pytest.mark.usefixtures("over")
@pytest.mark.parametrize("job", [job for jobs in JOBS.values() for job in jobs])
def test_a_job_that_is_done_leaves_its_model_and_scores(lab: Lab, job: str) -> None:
    status = lab.history.status(job)
    assert status["progress"]["iteration"] == status["progress"]["maxIterations"] == 40
    assert {score["head"] for score in status["progress"]["metrics"]} == {"regions", "digits"}
    keys = lab.keys(status)
    assert {"job.json", "outcome.json", "checkpoints/latest.json"} <= keys
    assert [key for key in keys if key.startswith("model/") and key.endswith(".safetensors")]
    assert {"attempts/1/log.txt", "attempts/1/metrics.jsonl", "run.json", "curves.json"} <= keys


@pytest.mark.usefixtures("over")
def test_a_waiting_job_says_what_it_waits_for(lab: Lab) -> None:
    messages = [event.obj.get("status", {}).get("message", "") for event in lab.history.of("job", "north-2")]
    assert any("behind north-1" in message for message in messages)
