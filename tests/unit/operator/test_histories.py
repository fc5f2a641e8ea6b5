"""Invariants 1 to 6 on generated histories: users, the cluster, crashes between any two API calls, two leaders at once."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_api.names import ExitCode
from headrace_testing.simulation import KINDS, SimulatedOperator, Simulation

HISTORIES = int(os.environ.get("HEADRACE_HISTORIES", "120"))
"""How many histories each test generates; `HEADRACE_HISTORIES=10000` for a long night."""

JOBS = ("a", "b", "c")
USER = ("apply", "delete", "stop", "suspend", "resume")
CLUSTER = (
    "schedule",
    "ready",
    "done",
    "fail",
    "fatal",
    "end_told",
    "kill_told",
    "delete_pod",
    "force_delete",
    "evict",
    "collect",
    "lose_node",
)
OPERATOR = ("round", "calls", "deliver", "deliver_jobs", "deliver_pods", "crash", "lose")

Event = tuple[str, int]


def histories(names: tuple[str, ...]) -> st.SearchStrategy[list[Event]]:
    """Lists of (event, which object it happens to)."""
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 29)), min_size=30, max_size=80)


# Events that make progress are drawn more often than those that disturb it.
MIXED = histories((*USER, "apply", *CLUSTER, "schedule", "ready", "time", *OPERATOR, *("round", "calls") * 8))
# Mostly two leaders' API calls, in every order.
CALLS = histories((*USER, "schedule", "done", "fail", "delete_pod", "force_delete", "lose", *("calls", "deliver", "round") * 6))

quick = settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


def play(simulation: Simulation, events: list[Event]) -> None:
    for what, which in events:
        happen(simulation, what, which)


def happen(simulation: Simulation, what: str, which: int) -> None:
    name = JOBS[which % len(JOBS)]
    operator = simulation.operators[which % len(simulation.operators)]
    pods = simulation.pods()
    pod = pods[which % len(pods)] if pods else None
    match what:
        case "apply":
            simulation.apply(name, backoffLimit=1)
        case "delete":
            simulation.delete(name)
        case "stop":
            simulation.change(name, stop=True)
        case "suspend" | "resume":
            simulation.change(name, suspend=what == "suspend")
        case "collect":
            simulation.collect_garbage()
        case "lose_node":
            simulation.lose_node()
        case "time":
            simulation.clock.advance((0.5, 1, 5, 15, 60, 400)[which % 6])
        case "calls":
            for _ in range(which // 2):
                operator.step()
        case "round":
            operator.finish_pass()
            operator.deliver()
            operator.finish_pass()
        case "deliver":
            operator.deliver(which + 1)
        case "deliver_jobs":
            operator.deliver(kinds=[KINDS[0]])
        case "deliver_pods":
            operator.deliver(kinds=[KINDS[1]])
        case "crash":
            operator.crash()
        case "lose":
            operator.lose_answer()
        case _ if pod is None:
            pass
        case "fail" | "fatal":
            simulation.exit(pod, ExitCode.RETRY if what == "fail" else ExitCode.FATAL)
        case "kill_told":
            simulation.end_told(pod, 137)
        case _:
            getattr(simulation, what)(pod)


@quick
@given(MIXED)
def test_one_operator_that_may_die_at_any_call(events: list[Event]) -> None:
    simulation = Simulation(operators=1)
    play(simulation, events)
    simulation.settle()


@quick
@given(MIXED)
def test_two_operators_that_both_believe_they_lead(events: list[Event]) -> None:
    simulation = Simulation(operators=2)
    play(simulation, events)
    simulation.settle()


@quick
@given(CALLS)
def test_two_operators_interleaved_at_every_call(events: list[Event]) -> None:
    simulation = Simulation(operators=2)
    for name in JOBS:
        simulation.apply(name, backoffLimit=1)
    play(simulation, events)
    simulation.settle()


DISTURBANCES = {
    "nothing": (),
    "the first job is deleted": (("delete", 0),),
    "the first job is stopped": (("stop", 0),),
    "the first job is paused": (("suspend", 0),),
    "a job is applied again": (("delete", 0), ("apply", 0)),
    "the first pod is scheduled and fails": (("schedule", 0), ("fail", 0)),
    "the first pod is scheduled and is done": (("schedule", 0), ("done", 0)),
    "the first pod is deleted": (("delete_pod", 0),),
    "the first pod is scheduled and deleted": (("schedule", 0), ("delete_pod", 0)),
    "the first job is deleted while its pod runs": (("schedule", 0), ("ready", 0), ("delete", 0)),
    "the second job is deleted and the first paused": (("delete", 1), ("suspend", 0)),
}
CALLS_OF_A_START = 12
"""GET Lease, LIST jobs, write Lease, LIST pods, POST, GET Lease, PATCH; plus the status writes before or after."""


@pytest.mark.parametrize("other_sees_it", [True, False], ids=["watch up to date", "watch behind"])
@pytest.mark.parametrize("disturbance", list(DISTURBANCES))
def test_two_starts_preempted_anywhere(disturbance: str, other_sees_it: bool) -> None:
    """Exhaustive: one operator stops after any call, something happens, the other stops after any call, then both continue."""
    for first in range(CALLS_OF_A_START):
        for second in range(CALLS_OF_A_START):
            simulation = Simulation(operators=2)
            one, other = simulation.operators
            simulation.apply("a", backoffLimit=1)
            simulation.apply("b", backoffLimit=1)
            for operator in (one, other):
                operator.deliver()
            _calls(one, first)
            play(simulation, list(DISTURBANCES[disturbance]))
            if other_sees_it:
                other.deliver()
            _calls(other, second)
            for operator in (one, one, other, other):
                operator.finish_pass()
                operator.deliver()


def _calls(operator: SimulatedOperator, count: int) -> None:
    """Lets this many calls take effect."""
    for _ in range(2 * count):
        if not operator.step():
            operator.deliver()
