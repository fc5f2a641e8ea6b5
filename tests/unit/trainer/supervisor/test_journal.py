"""The log: written to stdout at once, kept until it is uploaded, limited in size."""

import io
from typing import NoReturn

import pytest

from headrace_trainer.supervisor import journal as journals
from headrace_trainer.supervisor.journal import Journal


def journal(stream: io.StringIO) -> Journal:
    return Journal(stream, lambda: "T", tail=3)


def test_lines_go_to_the_stream_and_wait_for_the_upload_once() -> None:
    stream = io.StringIO()
    log = journal(stream)
    log.say("pulling")
    log.worker_line("epoch 1")
    assert stream.getvalue() == "T supervisor: pulling\nT worker: epoch 1\n"
    assert log.take() == stream.getvalue().encode()
    assert log.take() == b""


def test_the_tail_has_only_the_workers_lines() -> None:
    log = journal(io.StringIO())
    for i in range(5):
        log.worker_line(f"line {i}")
        log.say("noise")
    log.worker_line("")
    assert log.worker_tail() == ["line 3", "line 4"]


def test_too_many_waiting_lines_are_dropped_from_the_front_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_MOST_PENDING_BYTES", 100)
    log = journal(io.StringIO())
    for i in range(20):
        log.say(f"line {i:02d}")
    lines = log.take().decode().splitlines()
    assert lines[0] == "T supervisor: 16 lines are missing here: the store was unavailable for too long"
    assert lines[1:] == [f"T supervisor: line {i}" for i in range(16, 20)]
    log.say("again")
    assert log.take() == b"T supervisor: again\n"


class Closed(io.StringIO):
    def write(self, text: str, /) -> NoReturn:
        raise BrokenPipeError


def test_a_reader_that_has_left_does_no_harm() -> None:
    log = journal(Closed())
    log.say("still here")
    assert log.take() == b"T supervisor: still here\n"


def test_bytes_that_are_not_text_survive_the_upload() -> None:
    log = journal(io.StringIO())
    log.worker_line("\udcff")
    assert log.take() == b"T worker: ?\n"
