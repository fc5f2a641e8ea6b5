"""`python -m headrace_trainer.worker PLAN.json`: trains as the plan says and reports to the supervisor.

The exit status is an `headrace_api.names.ExitCode`; the last message, Ended, has the details.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Final, NoReturn

from headrace_trainer.worker.stopping import Stop, StopRequested

stop = Stop()
if __name__ == "__main__":
    # Install first: SIGTERM may arrive while torch is imported, which takes seconds.
    stop.install()

from headrace_api.errors import FatalError, TrainerError  # noqa: E402
from headrace_api.names import ExitCode, Reason  # noqa: E402
from headrace_api.report import Verdict  # noqa: E402
from headrace_trainer.protocol import Ended, Plan  # noqa: E402
from headrace_trainer.worker.messages import Messages  # noqa: E402


def main(arguments: list[str]) -> ExitCode:
    """Run the plan in the file named by the only argument; returns the exit status."""
    if len(arguments) != 1:
        print("usage: python -m headrace_trainer.worker PLAN.json", file=sys.stderr)
        return ExitCode.FATAL
    messages = Messages.from_environment()
    ended = _run(Path(arguments[0]), messages)
    messages.send(ended)
    if ended.verdict is not Verdict.ERROR:
        return ExitCode.OK
    return ExitCode.RETRY if ended.retry else ExitCode.FATAL


def _run(plan_file: Path, messages: Messages) -> Ended:
    """Train, and turn every outcome into the one last message."""
    try:
        with stop.interruptible():
            from headrace_trainer.worker.run import run  # imports torch
        return run(Plan.model_validate_json(plan_file.read_bytes()), messages, stop)
    except StopRequested:
        return Ended(verdict=Verdict.STOPPED, reason=Reason.INTERRUPTED, message="stopped on request")
    except TrainerError as error:
        retry = not isinstance(error, FatalError)
        return Ended(verdict=Verdict.ERROR, reason=error.reason, message=error.message, retry=retry)
    except Exception as error:  # the boundary: report anything to the supervisor and log the traceback
        traceback.print_exc()
        if _is_out_of_memory(error):
            return _out_of_memory(error)
        message = f"the worker crashed: {type(error).__name__}: {error}"
        return Ended(verdict=Verdict.ERROR, reason=Reason.TRAINER_CRASHED, message=message, retry=True)


_MEMORY_WORDS: Final = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""Found in out-of-memory errors without their own type: from the host, from CUDA (no room for page-locked memory or a context), and
from cuBLAS and cuDNN."""


def _is_out_of_memory(error: Exception) -> bool:
    """torch has its own error type only for tensors that do not fit on a GPU."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in _MEMORY_WORDS)


def _out_of_memory(error: Exception) -> Ended:
    """Not retryable: the next attempt would allocate the same tensors."""
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    message = f"out of memory ({first_line}): lower training.batchSize or training.imageSize"
    return Ended(verdict=Verdict.ERROR, reason=Reason.OUT_OF_MEMORY, message=message, retry=False)


def _leave(code: int) -> NoReturn:
    """Exit without the shutdown of Python and torch, which takes over a second of a grace period.

    Nothing is left to save: the checkpoints' thread has ended, every file is closed, and the last message is in the pipe.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
