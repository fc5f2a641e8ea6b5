"""What a pass asks of the API, counted, and what it tells users."""

from typing import Any

import pytest

from headrace_api.names import Reason, State
from headrace_operator.actions import Ration
from headrace_operator.api import Json
from headrace_operator.transitions import event_for
from headrace_testing.builders import make_job, seconds
from headrace_testing.simulation import SETTINGS, Simulation


def calls_of(simulation: Simulation) -> list[str]:
    """Everything the operator asks until it has nothing more to do."""
    operator = simulation.operators[0]
    operator.api.calls.clear()
    before = -1
    while len(operator.api.calls) != before:
        before = len(operator.api.calls)
        operator.deliver()
        operator.finish_pass()
    return operator.api.calls


def test_a_job_costs_six_writes_from_its_turn_to_its_end() -> None:
    simulation = Simulation()
    simulation.apply("a")
    operator = simulation.operators[0]
    operator.deliver()
    operator.finish_pass()
    first_of_the_project = ["get_lease", "list_jobs", "create_lease"]
    assert operator.api.calls[2:] == [*first_of_the_project, "list_pods", "create_pod", "get_lease", "ungate_pod"]
    simulation.schedule(simulation.pods()[0])
    assert calls_of(simulation) == ["patch_job_status"]
    simulation.ready(simulation.pods()[0])
    assert calls_of(simulation) == ["patch_job_status"]
    simulation.done(simulation.pods()[0])
    assert calls_of(simulation) == ["patch_job_status"]


def test_the_end_of_one_job_and_the_start_of_the_next_are_one_pass() -> None:
    simulation = Simulation()
    simulation.apply("a")
    simulation.apply("b")
    calls_of(simulation)
    simulation.schedule(simulation.pods()[0])
    simulation.done(simulation.pods()[0])
    operator = simulation.operators[0]
    operator.deliver()
    operator.api.calls.clear()
    operator.finish_pass()
    want = ["list_jobs", "patch_job_status", "replace_lease", "list_pods", "create_pod", "get_lease", "ungate_pod"]
    assert operator.api.calls == want
    assert sorted(pod["metadata"]["name"] for pod in simulation.pods()) == ["a-1", "b-1"]


def test_a_pass_without_news_makes_no_requests() -> None:
    simulation = Simulation()
    for name in ("a", "b", "c"):
        simulation.apply(name)
    calls_of(simulation)
    assert calls_of(simulation) == []


def test_an_allowance_of_ten_a_second_saves_up_for_five_seconds() -> None:
    ration = Ration(10)
    assert sum(ration.take(seconds(0)) for _ in range(100)) == 50
    assert sum(ration.take(seconds(1)) for _ in range(100)) == 10
    assert sum(ration.take(seconds(100)) for _ in range(100)) == 50


def test_a_clock_that_is_set_back_does_not_break_the_allowance() -> None:
    ration = Ration(1)
    assert ration.take(seconds(10))
    assert ration.take(seconds(0))


def test_repeated_waiting_messages_are_limited_but_first_ones_are_not() -> None:
    simulation = Simulation()
    operator = simulation.operators[0]
    ration = operator.reconciler.actions.ration = Ration(0.2)
    assert ration.take(simulation.clock.now())
    for name in ("a", "b", "c"):
        simulation.apply(name)
    calls_of(simulation)
    assert simulation.job("c")["status"]["message"] == "behind a, b (3rd in line)"
    simulation.delete("a")
    simulation.collect_garbage()
    calls_of(simulation)
    assert simulation.job("c")["status"]["message"] == "behind a, b (3rd in line)", "the allowance is used up"
    simulation.clock.advance(5)
    calls_of(simulation)
    assert simulation.job("c")["status"]["message"] == "behind b (2nd in line)"


def told(old: Any, **new: Any) -> Json | None:
    job = old.view()
    return event_for(job, job.status.model_copy(update=new), "operator-1", seconds(5))


@pytest.mark.parametrize(
    ("new", "want"),
    [
        ({"state": State.RUNNING, "reason": Reason.TRAINING}, ("Normal", "Running")),
        ({"state": State.ERROR, "reason": Reason.BAD_MODEL}, ("Warning", "Error")),
        ({"state": State.QUEUED, "reason": Reason.SUSPENDED}, ("Normal", "Suspended")),
        ({"state": State.QUEUED, "reason": Reason.POD_REFUSED}, ("Warning", "PodRefused")),
    ],
)
def test_a_transition_is_an_event(new: dict[str, Any], want: tuple[str, str]) -> None:
    event = told(make_job("a").state(State.QUEUED, Reason.WAITING_FOR_RUNNER), **new)
    assert event is not None
    assert (event["type"], event["reason"]) == want
    assert event["regarding"]["name"] == "a"


def test_a_new_place_in_line_is_not_an_event() -> None:
    assert told(make_job("a").state(State.QUEUED, Reason.WAITING_FOR_EARLIER_JOB), message="behind b (2nd in line)") is None


def test_the_simulation_uses_the_default_settings() -> None:
    assert (SETTINGS.backoff_base, SETTINGS.backoff_cap) == (10, 360)
