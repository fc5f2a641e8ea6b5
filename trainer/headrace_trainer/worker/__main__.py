"""`python -m headrace_trainer.worker PLAN.json`: trains as the plan says, and tells the supervisor how it goes.

Exit status as `headrace_api.names.ExitCode` has it; the last message, Ended, says more.
"""

import sys
import traceback
from pathlib import Path
from typing import Final

from headrace_trainer.worker.stopping import Stop, StopRequested

stop = Stop()
if __name__ == "__main__":
    # SIGTERM may come while torch is being imported, which takes seconds: whatever is slow is imported under this watch.
    stop.install()

from headrace_api.errors import FatalError, TrainerError  # noqa: E402
from headrace_api.names import ExitCode, Reason  # noqa: E402
from headrace_api.report import Verdict  # noqa: E402
from headrace_trainer.protocol import Ended, Plan  # noqa: E402
from headrace_trainer.worker.messages import Messages  # noqa: E402


def main(arguments: list[str]) -> ExitCode:
    """Run the plan in the file that the one argument names; gives the exit status."""
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
    """Train, and turn every way out into the one last message."""
    try:
        with stop.interruptible():
            from headrace_trainer.worker.run import run  # torch, and all that needs it
        return run(Plan.model_validate_json(plan_file.read_bytes()), messages, stop)
    except StopRequested:
        return Ended(verdict=Verdict.STOPPED, reason=Reason.INTERRUPTED, message="stopped as asked")
    except TrainerError as error:
        retry = not isinstance(error, FatalError)
        return Ended(verdict=Verdict.ERROR, reason=error.reason, message=error.message, retry=retry)
    except Exception as error:  # the boundary: whatever it is, the supervisor is told and the log has the trace
        traceback.print_exc()
        if _is_out_of_memory(error):
            return _out_of_memory(error)
        message = f"the worker crashed: {type(error).__name__}: {error}"
        return Ended(verdict=Verdict.ERROR, reason=Reason.TRAINER_CRASHED, message=message, retry=True)


_MEMORY_WORDS: Final = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""Of errors without a type of their own: a host that is full; what CUDA says where page-locked memory or a context finds no room;
what cuBLAS and cuDNN say."""


def _is_out_of_memory(error: Exception) -> bool:
    """torch has a type of its own only for a GPU on which a tensor finds no room."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in _MEMORY_WORDS)


def _out_of_memory(error: Exception) -> Ended:
    """Final: the next attempt would make the same tensors."""
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    message = f"out of memory ({first_line}): a smaller training.batchSize or training.imageSize needs less"
    return Ended(verdict=Verdict.ERROR, reason=Reason.OUT_OF_MEMORY, message=message, retry=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
