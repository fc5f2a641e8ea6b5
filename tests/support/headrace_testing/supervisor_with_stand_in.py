"""The trainer's process as in a pod, with the stand-in as its worker: `python -m headrace_testing.supervisor_with_stand_in`."""

import sys

from headrace_storage.stop import Stop, ignore_from_now_on

if __name__ == "__main__":
    stop = Stop()
    stop.install()

    from headrace_trainer.supervisor.command import execute

    code = execute(stop, "headrace_testing.stand_in_worker", ())
    ignore_from_now_on()
    sys.exit(code)
