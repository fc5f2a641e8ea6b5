"""Passes over a project when the API server refuses part of what they do."""

from typing import Any

import pytest

from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_operator.api import ForbiddenError, InvalidError
from headrace_operator.state import Raw
from headrace_testing.builders import outcome
from headrace_testing.simulation import Simulation


def refuse_status_of(simulation: Simulation, name: str) -> None:
    """From now on the API server refuses this job's status, perhaps because a custom trainer reported something invalid."""
    api = simulation.operators[0].api
    patch = api.patch_job_status

    async def patch_or_refuse(namespace: str, job: str, content: Raw) -> Any:
        if job == name:
            raise InvalidError(f"PATCH {job}/status: 422 Invalid: status.progress.percentage: must be at most 100")
        return await patch(namespace, job, content)

    api.patch_job_status = patch_or_refuse  # type: ignore[method-assign]


def pass_over(simulation: Simulation) -> None:
    operator = simulation.operators[0]
    operator.deliver()
    operator.finish_pass()


def test_a_job_can_be_stopped_although_the_server_refuses_its_status() -> None:
    simulation = Simulation()
    simulation.apply("a")
    pass_over(simulation)
    (pod,) = simulation.pods()
    simulation.schedule(pod)
    simulation.ready(simulation.pods()[0])
    refuse_status_of(simulation, "a")
    simulation.change("a", stop=True)
    pass_over(simulation)
    (pod,) = simulation.pods()
    assert "deletionTimestamp" in pod["metadata"], "the pod is being deleted"


def test_a_status_that_the_server_refuses_does_not_silence_the_other_jobs() -> None:
    simulation = Simulation()
    simulation.apply("a")
    simulation.apply("b")
    simulation.apply("c")
    refuse_status_of(simulation, "b")
    pass_over(simulation)
    pass_over(simulation)
    assert simulation.job("c")["status"]["message"].startswith("behind a, b")
    assert len(simulation.pods()) == 1


@pytest.mark.parametrize("verb", ["get_lease", "create_lease"])
def test_a_start_refused_at_the_lease_is_reported_in_the_status_and_retried(verb: str) -> None:
    simulation = Simulation()
    api = simulation.operators[0].api
    allowed = getattr(api, verb)

    async def refuse(*_: Any) -> Any:
        raise ForbiddenError('403: User "x" cannot use resource "leases"')

    setattr(api, verb, refuse)
    simulation.apply("a")
    simulation.apply("b")
    pass_over(simulation)
    status = simulation.job("a")["status"]
    assert (status["state"], status["reason"]) == ("Queued", "PodRefused")
    assert 'cannot use resource "leases"' in status["message"]
    setattr(api, verb, allowed)
    pass_over(simulation)
    pass_over(simulation)
    assert simulation.job("b")["status"]["message"].startswith("behind a")
    assert len(simulation.pods()) == 1


def test_a_pod_that_is_already_gone_when_it_is_deleted_still_counts_as_it_ended() -> None:
    simulation = Simulation()
    simulation.apply("a")
    pass_over(simulation)
    simulation.schedule(simulation.pods()[0])
    simulation.ready(simulation.pods()[0])
    pass_over(simulation)
    simulation.change("a", stop=True)
    operator = simulation.operators[0]
    operator.deliver()

    # Its trainer finishes and a user deletes the pod, before any watch reports it.
    simulation.exit(simulation.pods()[0], 0, outcome(Verdict.DONE, Reason.REACHED_MAX_ITERATIONS))
    simulation.server.delete_pod("ns", "a-1")
    operator.finish_pass()
    pass_over(simulation)
    assert simulation.job("a")["status"]["state"] == "Done"
