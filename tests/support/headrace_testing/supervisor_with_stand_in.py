"""The trainer's process as in a pod, with the stand-in for a worker: `python -m headrace_testing.supervisor_with_stand_in`."""

import os
import sys

from headrace_trainer.supervisor.journal import Journal
from headrace_trainer.supervisor.run import Run
from headrace_trainer.supervisor.settings import settings_from
from headrace_trainer.supervisor.stop import Stop

if __name__ == "__main__":
    stop = Stop()
    stop.install()
    run = Run(settings_from(os.environ), stop, Journal(), "headrace_testing.stand_in_worker", ())
    sys.exit(run.execute())
