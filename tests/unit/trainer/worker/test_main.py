import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from headrace_api.errors import FatalError, RetryableError
from headrace_api.names import ExitCode, Reason
from headrace_api.report import Verdict
from headrace_testing.workers import TAGS, small_job
from headrace_trainer.protocol import ENV_MESSAGES_FD, MESSAGE, Ended, Plan
from headrace_trainer.worker import __main__ as program
from headrace_trainer.worker import run
from headrace_trainer.worker.stopping import StopRequested

DONE = Ended(verdict=Verdict.DONE, reason=Reason.REACHED_MAX_ITERATIONS)


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    plan = Plan(job=small_job([TAGS], {}), dataset_dir=tmp_path, output_dir=tmp_path, threads=1)
    path = tmp_path / "plan.json"
    path.write_text(plan.model_dump_json(by_alias=True))
    return path


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The reading end of the pipe for the program's messages."""
    read, write = os.pipe()
    monkeypatch.setenv(ENV_MESSAGES_FD, str(write))
    yield read
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    ("outcome", "code", "reason", "retry", "message"),
    [
        pytest.param(DONE, ExitCode.OK, Reason.REACHED_MAX_ITERATIONS, False, "", id="done"),
        pytest.param(StopRequested(), ExitCode.OK, Reason.INTERRUPTED, False, "stopped on request", id="stopped"),
        pytest.param(
            FatalError(Reason.BAD_MODEL, "no level 9"),
            ExitCode.FATAL,
            Reason.BAD_MODEL,
            False,
            "no level 9",
            id="final",
        ),
        pytest.param(
            RetryableError(Reason.DISK_FULL, "full"), ExitCode.RETRY, Reason.DISK_FULL, True, "full", id="an error worth a retry"
        ),
        pytest.param(
            torch.OutOfMemoryError("CUDA out of memory.\nSee documentation"),
            ExitCode.FATAL,
            Reason.OUT_OF_MEMORY,
            False,
            "out of memory (CUDA out of memory.): lower training.batchSize or training.imageSize",
            id="the GPU is full",
        ),
        pytest.param(
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            ExitCode.FATAL,
            Reason.OUT_OF_MEMORY,
            False,
            None,
            id="the host is full",
        ),
        pytest.param(
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
            ExitCode.FATAL,
            Reason.OUT_OF_MEMORY,
            False,
            "out of memory (CUDA error: out of memory): lower training.batchSize or training.imageSize",
            id="no room for page-locked memory or a library's workspace",
        ),
        pytest.param(
            ZeroDivisionError("of all things"),
            ExitCode.RETRY,
            Reason.TRAINER_CRASHED,
            True,
            "the worker crashed: ZeroDivisionError: of all things",
            id="a crash",
        ),
    ],
)
def test_every_end_has_one_last_message_and_an_exit_status(
    monkeypatch: pytest.MonkeyPatch,
    plan_file: Path,
    pipe: int,
    outcome: Any,
    code: ExitCode,
    reason: Reason,
    retry: bool,
    message: str | None,
) -> None:
    def end(*_: Any) -> Ended:
        if isinstance(outcome, BaseException):
            raise outcome
        assert isinstance(outcome, Ended)
        return outcome

    monkeypatch.setattr(run, "run", end)
    assert program.main([str(plan_file)]) == code
    ended = MESSAGE.validate_json(os.read(pipe, 100_000))
    assert isinstance(ended, Ended)
    assert (ended.reason, ended.retry) == (reason, retry)
    assert message is None or ended.message == message


def test_a_crash_leaves_its_traceback_in_the_log(
    monkeypatch: pytest.MonkeyPatch, plan_file: Path, pipe: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: Any) -> Ended:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(run, "run", crash)
    program.main([str(plan_file)])
    assert "in crash" in capsys.readouterr().err


def test_without_a_plan_it_prints_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([]) == ExitCode.FATAL
    assert "usage: python -m headrace_trainer.worker PLAN.json" in capsys.readouterr().err
