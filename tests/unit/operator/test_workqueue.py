"""The work queue, on the test's own clock."""

import asyncio
from collections.abc import Callable

from headrace_operator.workqueue import LONGEST_BACKOFF_SECONDS, WorkQueue


class FakeTimer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self.at


class FakeTime:
    """Schedules calls and makes them when the test lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[FakeTimer] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(self.now + seconds, call))
        return self.timers[-1]

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer.at <= self.now]
        self.timers = [timer for timer in self.timers if timer.at > self.now]
        for timer in due:
            if not timer.cancelled:
                timer.call()


def drain(queue: WorkQueue[str]) -> list[str]:
    """Takes every waiting key and handles it; returns the keys."""

    async def take() -> list[str]:
        keys = []
        while len(queue):
            keys.append(await queue.get())
            queue.done(keys[-1])
        return keys

    return asyncio.run(take())


def test_a_key_waits_once_however_often_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeTime())
    for key in "abab":
        queue.add(key)
    assert drain(queue) == ["a", "b"]


def test_a_key_added_while_it_is_worked_on_waits_until_that_is_done() -> None:
    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue(FakeTime())
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        assert len(queue) == 0, "no other worker may get it meanwhile"
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        assert len(queue) == 0

    asyncio.run(story())


def test_a_waiting_worker_gets_the_next_key() -> None:
    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue(FakeTime())
        waiters = [asyncio.create_task(queue.get()) for _ in range(2)]
        await asyncio.sleep(0)
        queue.add("a")
        queue.add("b")
        assert await asyncio.gather(*waiters) == ["a", "b"]

    asyncio.run(story())


def test_the_earliest_of_several_deadlines_counts() -> None:
    time = FakeTime()
    queue: WorkQueue[str] = WorkQueue(time)
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    time.pass_by(4)
    assert drain(queue) == []
    time.pass_by(1)
    assert drain(queue) == ["a"]
    time.pass_by(100)
    assert drain(queue) == []


def test_a_deadline_that_is_past_is_now() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeTime())
    queue.add_after("a", -1)
    assert drain(queue) == ["a"]


def test_pauses_after_failures_double_up_to_their_cap_and_start_over_after_a_success() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeTime())
    assert [queue.failed("a") for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert max(queue.failed("a") for _ in range(20)) == LONGEST_BACKOFF_SECONDS
    assert queue.failed("b") == 0.1, "keys do not share their backoff"
    queue.succeeded("a")
    assert queue.failed("a") == 0.1


def test_a_cleared_queue_forgets_its_deadlines() -> None:
    time = FakeTime()
    queue: WorkQueue[str] = WorkQueue(time)
    queue.add("a")
    queue.add_after("b", 1)
    queue.clear()
    time.pass_by(2)
    assert drain(queue) == []
