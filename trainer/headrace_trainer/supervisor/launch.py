"""Starts a worker that cannot outlive its supervisor, and preloads modules while the dataset is still being pulled.

    python -m headrace_trainer.supervisor.launch PARENT_PID GO_FD MODULE[,PRELOAD...] ARGUMENT...

It is a separate program because running code between fork and exec is unsafe in a process with threads. It imports the modules to
preload (torch takes seconds), waits for a byte on GO_FD, then runs MODULE; if GO_FD closes without a byte, it exits.
"""

import ctypes
import importlib
import os
import runpy
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def main() -> None:
    """See the module."""
    parent, go, modules, *arguments = sys.argv[1:]
    module, *preload = modules.split(",")
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the supervisor is gone")  # it died before prctl took effect
    # When memory runs out, the kernel should kill the worker, not the supervisor, which still has results to save.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for name in preload:
        importlib.import_module(name)
    if os.read(int(go), 1):
        os.close(int(go))
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
