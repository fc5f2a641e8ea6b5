"""Leader election on a simulated API; each replica has its own clock."""

import asyncio

from headrace_operator.api import UnavailableError
from headrace_operator.leader import Leader
from headrace_operator.settings import Settings
from headrace_testing.fake_clock import FakeClock
from headrace_testing.faulty_client import FaultyClient
from headrace_testing.simulated_api import SimulatedApi, SimulatedServer

SETTINGS = Settings(trainer_image="t", leader_lease=15)


class Replica:
    """A candidate, and what it was told."""

    def __init__(self, server: SimulatedServer, name: str, settings: Settings = SETTINGS) -> None:
        self.told: list[str] = []
        self.time = 0.0
        self.api = FaultyClient(SimulatedApi(server, name), error=lambda: UnavailableError("away"))
        self.leader = Leader(
            api=self.api,  # type: ignore[arg-type]
            settings=settings,
            clock=server.clock,
            identity=name,
            on_elected=self._elected,
            on_deposed=self._deposed,
            monotonic=lambda: self.time,
        )

    async def _elected(self) -> None:
        self.told.append("elected")

    async def _deposed(self) -> None:
        self.told.append("deposed")

    def step(self, after: float = 0) -> bool:
        self.time += after
        asyncio.run(self.leader.step())
        return self.leader.leading

    def fail_next(self) -> None:
        self.api.at = len(self.api.calls) + 1


def test_the_first_leads_and_the_second_stands_by() -> None:
    server = SimulatedServer(FakeClock())
    one, two = Replica(server, "one"), Replica(server, "two")
    assert one.step()
    assert not two.step()
    assert (one.told, two.told) == (["elected"], [])


def test_replicas_of_two_releases_in_one_namespace_do_not_compete() -> None:
    server = SimulatedServer(FakeClock())
    one, two = Replica(server, "one"), Replica(server, "two", Settings(trainer_image="t", leader_lease_name="vision.headrace.dev"))
    assert one.step()
    assert two.step()


def test_a_lease_that_is_renewed_is_never_taken() -> None:
    server = SimulatedServer(FakeClock())
    one, two = Replica(server, "one"), Replica(server, "two")
    for _ in range(20):
        server.clock.advance(3)
        assert one.step(3)
        assert not two.step(3)


def test_a_lease_that_is_not_renewed_is_taken_after_its_duration() -> None:
    server = SimulatedServer(FakeClock())
    one, two = Replica(server, "one"), Replica(server, "two")
    one.step()
    assert not two.step()
    assert not two.step(14)
    assert two.step(1)
    assert not one.step(100), "the old leader learns of it from a conflict"
    assert one.told == ["elected", "deposed"]


def test_a_released_lease_is_taken_at_once() -> None:
    server = SimulatedServer(FakeClock())
    one, two = Replica(server, "one"), Replica(server, "two")
    one.step()
    assert not two.step()
    asyncio.run(one.leader.release())
    assert two.step()
    assert server.get("Lease", SETTINGS.namespace, SETTINGS.leader_lease_name)["spec"]["leaseTransitions"] == 2


def test_a_leader_without_answers_steps_down_before_another_can_take_over() -> None:
    server = SimulatedServer(FakeClock())
    one, two = Replica(server, "one"), Replica(server, "two")
    one.step()
    two.step()
    for after in (3, 3, 3):
        one.fail_next()
        assert one.step(after), "four renewals in a row may fail"
        assert not two.step(after)
    one.fail_next()
    assert not one.step(3)
    assert not two.step(3)
    assert two.step(3)


def test_a_leader_does_not_step_down_when_the_answer_to_a_renewal_is_lost() -> None:
    server = SimulatedServer(FakeClock())
    one = Replica(server, "one")
    one.step()
    one.api.took_effect = True
    one.fail_next()
    server.clock.advance(3)
    assert one.step(3)
    server.clock.advance(3)
    assert one.step(3), "the conflict is with our own write"
    assert one.step(3)
    assert one.told == ["elected"]
