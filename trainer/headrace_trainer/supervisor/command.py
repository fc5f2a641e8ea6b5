"""The trainer's command line. In a pod, everything it needs is in its environment (headrace_api.names, settings.py).

    python -m headrace_trainer [JOB.json] [--dataset FOLDER|s3://...] [--output FOLDER|s3://...]
                              [--initial-weights PATH|s3://...] [--end-with-parent PID]

`headrace train` starts it with these arguments.
"""

import argparse
import ctypes
import os
import signal
from pathlib import Path

from headrace_api.errors import TrainerError
from headrace_api.names import ENV_TERMINATION_LOG, ExitCode
from headrace_api.report import Outcome
from headrace_api.trainingjob import Progress
from headrace_storage.stop import Stop
from headrace_trainer.supervisor.ending import Ending
from headrace_trainer.supervisor.journal import Journal
from headrace_trainer.supervisor.run import Run
from headrace_trainer.supervisor.settings import settings_from
from headrace_trainer.supervisor.worker_process import PRELOADED_MODULES, WORKER_MODULE

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def execute(stop: Stop, worker_module: str = WORKER_MODULE, preload: tuple[str, ...] = PRELOADED_MODULES) -> ExitCode:
    """Run one attempt. `stop` must already be installed."""
    arguments = _arguments()
    if arguments.end_with_parent is not None:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != arguments.end_with_parent:
            stop.request()  # it died before prctl took effect
    journal = Journal()
    try:
        settings = settings_from(os.environ, arguments.job, arguments.dataset, arguments.output, arguments.initial_weights)
    except TrainerError as error:
        journal.say(error.message)
        return _refused(error)
    return Run(settings, stop, journal, worker_module, preload).execute()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headrace_trainer", description="Runs one attempt of a TrainingJob.")
    parser.add_argument("job", nargs="?", help="the TrainingJob, as JSON (default: the file in HEADRACE_JOB_FILE)")
    parser.add_argument("--dataset", help="instead of spec.dataset.uri: s3://bucket/prefix/ or a folder, which is only read")
    parser.add_argument("--output", help="instead of spec.output.uri: s3://bucket/prefix/ or a folder")
    parser.add_argument(
        "--initial-weights", help="instead of spec.model.initialWeights.uri: s3://... or a path, which is only read"
    )
    parser.add_argument(
        "--end-with-parent", type=int, metavar="PID", help="shut down cleanly when the parent process, which has this PID, is gone"
    )
    return parser.parse_args()


def _refused(error: TrainerError) -> ExitCode:
    """Report a bad environment in the termination log too, where a kubelet reads it."""
    ending = Ending.from_error(error)
    outcome = Outcome(outcome=ending.verdict, reason=ending.reason, message=ending.message, progress=Progress())
    if log := os.environ.get(ENV_TERMINATION_LOG):
        Path(log).write_text(outcome.to_termination_message())
    return ending.exit_code
