"""The set-up shows how far it is, and estimates the time left only once it has measured this machine's pace."""

import io
import time

import pytest
from rich.console import Console

from headrace_local.setup_progress import PACE_SECONDS, SetupProgress, Step, megabytes, packages


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_promised_before_there_is_a_pace(clock: Clock) -> None:
    step = Step(clock)
    step.count(packages, 1630)
    assert step.words == "0 of 1,630 packages"
    step.advance(60)
    clock.now += PACE_SECONDS - 1
    assert step.words == "60 of 1,630 packages"


def test_the_time_left_follows_from_this_machines_pace(clock: Clock) -> None:
    step = Step(clock)
    clock.now += 500  # the time it takes to count the packages does not affect the pace
    step.count(packages, 1630)
    clock.now += 60
    step.advance(412)
    assert step.words == "412 of 1,630 packages, about 2:57 left"
    clock.now += 60  # no progress: the pace is halved
    assert step.words == "412 of 1,630 packages, about 5:55 left"


@pytest.mark.parametrize(("total", "words"), [(54_000_000, "12 of 54 MB, about 1:10 left"), (None, "12 MB")])
def test_downloads_are_counted_in_bytes(clock: Clock, total: int | None, words: str) -> None:
    step = Step(clock)
    step.count(megabytes, total)
    step.advance(12_000_000)
    clock.now += 20
    assert step.words == words


def test_what_cannot_be_counted_is_named(clock: Clock) -> None:
    step = Step(clock)
    clock.now += 65
    assert step.words == "1:05 so far"
    step.count(packages, 2)
    step.tell("linking")
    assert step.words == "linking"


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def wait_until_shown(console: Console, words: str) -> None:
    deadline = time.monotonic() + 10
    while not any(words in line for line in lines_of(console)) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_without_a_terminal_lines_repeat_the_facts() -> None:
    console = Console(file=io.StringIO(), width=80)
    with SetupProgress(console, repeat_seconds=0.01) as progress, progress.step("build etcd 3.6.5") as step:
        step.count(packages, 1630)
        step.advance(412)
        wait_until_shown(console, "412 of")
    begin, *repeated, end = lines_of(console)
    assert begin == "build etcd 3.6.5"
    assert "build etcd 3.6.5: 412 of 1,630 packages" in repeated
    assert end == "build etcd 3.6.5: done after 0:00"


def test_a_step_that_fails_says_so() -> None:
    console = Console(file=io.StringIO(), width=80)
    with pytest.raises(OSError, match="disk"), SetupProgress(console) as progress, progress.step("build etcd 3.6.5"):
        raise OSError("disk")
    assert lines_of(console) == ["build etcd 3.6.5", "build etcd 3.6.5: failed after 0:00"]


@pytest.mark.parametrize(("width", "bar"), [(80, False), (160, True)])
def test_on_a_narrow_terminal_words_replace_the_bar(width: int, bar: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, legacy_windows=False)
    with SetupProgress(console) as progress, progress.step("build kube-controller-manager 1.35.4") as step:
        step.count(packages, 630)
        step.advance(412)
        wait_until_shown(console, "412 of")
    shown = "\n".join(lines_of(console))
    assert "412 of 630 packages" in shown
    assert ("━" in shown) is bar
