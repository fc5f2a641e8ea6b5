import os
import signal
from collections.abc import Iterator

import pytest

from headrace_trainer.worker.stopping import Stop, StopRequested


@pytest.fixture
def stop() -> Iterator[Stop]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = Stop()
    stop.install()
    yield stop
    for number, handler in handlers.items():
        signal.signal(number, handler)


def send_sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_is_remembered_where_it_must_not_interrupt(stop: Stop) -> None:
    send_sigterm()
    assert stop.requested


def test_a_stop_interrupts_work_that_may_be_dropped(stop: Stop) -> None:
    went_on = False

    def work() -> None:
        nonlocal went_on
        with stop.interruptible():
            send_sigterm()
            went_on = True

    with pytest.raises(StopRequested):
        work()
    assert not went_on


def test_work_that_may_be_dropped_does_not_begin_after_a_stop(stop: Stop) -> None:
    send_sigterm()
    with pytest.raises(StopRequested), stop.interruptible():
        pytest.fail("began after SIGTERM")


def test_a_second_stop_does_not_interrupt_the_clean_up(stop: Stop) -> None:
    cleaned = False

    def work() -> None:
        nonlocal cleaned
        with stop.interruptible():
            try:
                send_sigterm()
            finally:
                send_sigterm()
                cleaned = True

    with pytest.raises(StopRequested):
        work()
    assert cleaned


def test_after_an_interruptible_block_a_stop_is_only_remembered(stop: Stop) -> None:
    with stop.interruptible():
        pass
    send_sigterm()
    assert stop.requested
