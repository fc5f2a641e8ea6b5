"""The trainer's process in a pod: `python -m headrace_trainer`. What it takes is told by supervisor/command.py.

SIGTERM is heard before anything large is imported: that takes a second or more on a busy node, and to PID 1, which has no default
action for it, an earlier one would be lost.
"""

import sys

from headrace_storage.stop import Stop  # needs the standard library only

if __name__ == "__main__":
    stop = Stop()
    stop.install()

    from headrace_trainer.supervisor.command import execute

    sys.exit(execute(stop))
