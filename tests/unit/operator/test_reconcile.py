"""Passes over a project, when the API server refuses part of what they do."""

from typing import Any

from headrace_operator.api import ForbiddenError, InvalidError
from headrace_operator.state import Raw
from headrace_testing.simulation import Simulation


def refuse_status_of(simulation: Simulation, name: str) -> None:
    """From now on the API server takes no status of this job: a custom trainer said something the schema forbids, say."""
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


def test_a_status_that_the_server_refuses_keeps_nobody_from_stopping_the_job() -> None:
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
    assert "deletionTimestamp" in pod["metadata"], "the pod was told to end"


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


def test_a_start_refused_at_the_lease_is_told_in_the_status_and_tried_again() -> None:
    simulation = Simulation()
    api = simulation.operators[0].api
    create = api.create_lease

    async def refuse(manifest: Raw) -> Any:
        raise ForbiddenError('POST leases: 403: User "x" cannot create resource "leases"')

    api.create_lease = refuse  # type: ignore[method-assign]
    simulation.apply("a")
    pass_over(simulation)
    status = simulation.job("a")["status"]
    assert (status["state"], status["reason"]) == ("Queued", "PodRefused")
    assert 'cannot create resource "leases"' in status["message"]
    api.create_lease = create  # type: ignore[method-assign]
    pass_over(simulation)
    assert len(simulation.pods()) == 1
