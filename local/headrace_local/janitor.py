"""Parent of every process of a cluster: however its owner ends, the janitor leaves nothing behind.

The owner (a test, `make up`'s keeper, the demo) may be killed with SIGKILL, so it cannot be trusted to clean up.
This small program stands between it and the cluster's processes. `processes.py` starts it in its own session, so
that the terminal's Ctrl-C does not reach it. It exchanges JSON lines over its stdin and stdout:

    {"start": {"key": 7, "argv": [...], "env": {...}, "log": "...", "cwd": "..."}} -> {"pid": 123} | {"error": "..."}
    {"signal": {"key": 7, "number": 15}}                                           -> {"sent": true | false}
    at any time, unprompted                                                        -> {"ended": 7, "code": -9}

The owner's keys, not pids, identify processes: by the time a message is read, the pid may belong to another process. The
janitor ends on {"end": true}, when stdin closes, or when the owner's pidfd reports that the owner ended (a forked child of
the owner may still hold the pipe). It then kills all its descendants and removes the folders it was given. As the
"child subreaper" it inherits every orphan, so a process that a component started and abandoned is a descendant
too. If the janitor itself is killed, its children die with it (PR_SET_PDEATHSIG).

It uses the standard library only and runs with `python -I -S`, so it starts within about 20 ms.
"""

import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


class Janitor:
    """Starts, signals and reaps processes, and finally removes folders; single-threaded, driven by one selector."""

    def __init__(self, owner_pid: int, folders: list[Path]) -> None:
        self.folders = folders
        # Children not yet reaped, by key. It keeps the Popen objects, because a collected one would reap its child itself:
        # waitpid below does that.
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with suppress(ProcessLookupError):
            self.owner = os.pidfd_open(owner_pid)
        # If the owner died before its pidfd was open, we have another parent by now.
        self.ending = os.getppid() != owner_pid

    def run(self) -> None:
        """Serves until it is time to end, and ends."""
        if not self.ending:
            self.serve()
        self.end()

    def serve(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake)
        # Handlers that do nothing, not SIG_IGN: an ignored signal would stay ignored in the children.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "ending", True))

        selector = selectors.DefaultSelector()
        for descriptor in (sys.stdin.fileno(), self.owner, woken):
            selector.register(descriptor, selectors.EVENT_READ)
        unread = b""
        while not self.ending:
            for key, _ in selector.select():
                if key.fd == self.owner:
                    self.ending = True
                elif key.fd == woken:
                    os.read(woken, 4096)
                    self.reap()
                else:
                    chunk = os.read(key.fd, 1 << 16)
                    self.ending = self.ending or not chunk
                    *lines, unread = (unread + chunk).split(b"\n")
                    for line in lines:
                        self.answer(json.loads(line))

    def answer(self, request: dict[str, Any]) -> None:
        match request:
            case {"start": order}:
                self.say(self.start(**order))
            case {"signal": {"key": key, "number": number}}:
                self.say({"sent": self.signal(key, number)})
            case {"end": True}:
                self.ending = True

    def start(self, key: int, argv: list[str], env: dict[str, str], log: str, cwd: str) -> dict[str, Any]:
        try:
            with Path(log).open("ab") as output:
                child = subprocess.Popen(
                    argv,
                    env=env,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - safe: this program has one thread
                )
        except OSError as error:
            return {"error": str(error)}
        self.children[key] = child
        return {"pid": child.pid}

    def signal(self, key: int, number: int) -> bool:
        """Signals the group of a child. Until the child is reaped, no other process can have its pid."""
        if key not in self.children:
            return False
        with suppress(ProcessLookupError):
            os.killpg(self.children[key].pid, number)
        return True

    def reap(self) -> bool:
        """Reaps every child that has ended. Returns whether any child, ours or inherited, is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            for key, child in list(self.children.items()):
                if child.pid == pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
                    self.say({"ended": key, "code": child.returncode})
                    del self.children[key]

    def end(self) -> None:
        """Kills all descendants, then removes the folders. It uses SIGKILL because all state is disposable."""
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        while True:
            for pid in descendants(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not self.reap():
                break
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def say(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the owner is gone; the selector will report that next
            os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")


def descendants(ancestor: int) -> list[int]:
    """Pids of all living processes below `ancestor`, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            # pid (comm) state ppid ...; comm may contain blanks and parentheses, so split at the last one.
            state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    frontier = [ancestor]
    while frontier:
        below = children.get(frontier.pop(), [])
        found += below
        frontier += below
    return found


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    Janitor(int(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]]).run()
