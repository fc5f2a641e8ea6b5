"""Starts a worker so that it can never outlive its supervisor, and warms it up while the dataset is still being pulled.

    python -m headrace_trainer.supervisor.launch PARENT_PID GO_FD MODULE[,PRELOAD...] ARGUMENT...

A program of its own because code between fork and exec of a process with threads is not safe. It imports what is to be preloaded
(torch: seconds), waits for a byte on GO_FD, and turns into MODULE; when GO_FD closes without a byte, nothing is to be done.
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
        sys.exit("the supervisor is gone")  # it went before prctl took effect
    # When memory runs out, the kernel shall take the worker and leave the supervisor, which saves what there is to save.
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
