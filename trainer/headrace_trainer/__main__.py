"""The trainer's process in a pod: `python -m headrace_trainer`. supervisor/command.py documents its arguments.

It handles SIGTERM before importing anything large, which takes a second or more on a busy node: PID 1 has no default action for
SIGTERM, so an earlier one would be lost.
"""

import sys

from headrace_storage.stop import Stop, ignore_from_now_on  # needs the standard library only

if __name__ == "__main__":
    stop = Stop()
    stop.install()

    from headrace_trainer.supervisor.command import execute

    code = execute(stop)
    ignore_from_now_on()
    sys.exit(code)
