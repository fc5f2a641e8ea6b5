"""The parent of one container's processes, and the process that forks such parents.

The agent runs it as a script in Python's isolated mode, so it imports only the standard library. The agent asks
for a container by sending one end of a socket pair; the spawner forks an *init* for it, which

* starts the container's main process in its own session and is the subreaper of everything below it, so that
  processes which detach themselves (`setsid`, double fork) stay within reach;
* copies stdout and stderr to the container's log file in a kubelet's format, with a timestamp on each line;
* passes signals on to the main process, as a kubelet does to PID 1;
* samples the memory of all processes if there is a limit;
* kills every process left once the main one has ended, or once the agent is gone (its end of the socket closes).

Forking from this small process takes about 2 ms; a new interpreter per container would take 15 ms of CPU.

Messages are JSON lines. Agent to init: first the request (see `Request`), then `{"signal": 15}` or `{"kill": true}`.
Init to agent: `{"pid": n}` or `{"error": "why the program could not be started"}`, then `{"exit": n, "oom": bool}`.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

PR_SET_CHILD_SUBREAPER = 36
MEMORY_SAMPLE_SECONDS = 1.0
# containerd splits lines at 16 KiB and marks all parts but the last with P (partial).
LOG_LINE_BYTES = 16 * 1024


class Request(TypedDict):
    """What to run: `log` is the log file's path or None, `memory` the limit in bytes or None."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    log: str | None
    memory: int | None


class LogFile:
    """Lines of two streams in one file: `<RFC 3339 time> stdout|stderr F|P <text>`."""

    def __init__(self, path: str | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = None if path is None else os.open(path, flags, 0o640)
        self._pending = {"stdout": b"", "stderr": b""}

    def write(self, stream: str, data: bytes) -> None:
        if self._file is None:
            return
        *lines, rest = (self._pending[stream] + data).split(b"\n")
        out = [self._line(stream, line) for line in lines]
        while len(rest) >= LOG_LINE_BYTES:
            out.append(self._tagged(stream, b"P", rest[:LOG_LINE_BYTES]))
            rest = rest[LOG_LINE_BYTES:]
        self._pending[stream] = rest
        if out:
            os.write(self._file, b"".join(out))

    def close(self) -> None:
        """Write lines without a newline at their end, marked P, so that readers do not add one."""
        if self._file is not None:
            for stream, rest in self._pending.items():
                if rest:
                    os.write(self._file, self._tagged(stream, b"P", rest))
            os.close(self._file)

    def _line(self, stream: str, line: bytes) -> bytes:
        parts = []
        while len(line) > LOG_LINE_BYTES:
            parts.append(self._tagged(stream, b"P", line[:LOG_LINE_BYTES]))
            line = line[LOG_LINE_BYTES:]
        return b"".join(parts) + self._tagged(stream, b"F", line)

    @staticmethod
    def _tagged(stream: str, tag: bytes, text: bytes) -> bytes:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{stamp}.{nanoseconds:09d}Z {stream} ".encode() + tag + b" " + text + b"\n"


class ContainerInit:
    """One container: its main process, everything below it, and the agent at the other end of `control`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._received = b""
        self._main = 0
        self._out_of_memory = False

    def run(self) -> None:
        """Start the main process, serve the agent until the process ends, and leave nothing running."""
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)

        request: Request = json.loads(self._first_line())
        log = LogFile(request["log"])
        streams: dict[int, str] = {}
        error = self._start(request, streams)
        if error is not None:
            self._send({"error": error})
            return
        self._send({"pid": self._main})
        code = self._serve(request["memory"], log, streams, wake_read)
        kill_descendants()
        for pipe, stream in streams.items():
            copy_all(pipe, stream, log)
        log.close()
        self._send({"exit": code, "oom": self._out_of_memory})

    def _start(self, request: Request, streams: dict[int, str]) -> str | None:
        """Fork and exec the main process; fills `streams` with the pipes to read. The error, if it failed."""
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        # A successful exec closes it; a failed one sends the reason through it.
        failure_read, failure_write = os.pipe()
        self._main = os.fork()
        if self._main == 0:
            become(request, out_write, err_write, failure_write)
        for end in (out_write, err_write, failure_write):
            os.close(end)
        with os.fdopen(failure_read, "rb") as failure:
            error = failure.read().decode()
        if error:
            os.waitpid(self._main, 0)
            return error
        for pipe, stream in ((out_read, "stdout"), (err_read, "stderr")):
            os.set_blocking(pipe, False)
            streams[pipe] = stream
        return None

    def _serve(self, memory: int | None, log: LogFile, streams: dict[int, str], wake: int) -> int:
        """Copy output, obey the agent and reap until the main process ends. Returns its exit code."""
        poll = select.poll()
        for fd in (wake, self._control.fileno(), *streams):
            poll.register(fd, select.POLLIN)
        timeout = None if memory is None else MEMORY_SAMPLE_SECONDS * 1000
        sampled = time.monotonic()
        while True:
            for fd, _event in poll.poll(timeout):
                if fd in streams:
                    if not copy_some(fd, streams[fd], log):
                        poll.unregister(fd)
                elif fd == self._control.fileno():
                    if not self._obey():
                        kill_descendants()
                        os._exit(0)
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake, 4096)
                    code = self._reap()
                    if code is not None:
                        return code
            if memory is not None and time.monotonic() - sampled >= MEMORY_SAMPLE_SECONDS:
                sampled = time.monotonic()
                if over_memory(memory):
                    self._out_of_memory = True
                    os.kill(self._main, signal.SIGKILL)

    def _reap(self) -> int | None:
        """Reap every child that ended. Returns the main process's exit code once it has ended."""
        code = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if pid == 0:
                return code
            if pid == self._main:
                ended_by = os.waitstatus_to_exitcode(status)
                code = ended_by if ended_by >= 0 else 128 - ended_by

    def _obey(self) -> bool:
        """Act on the agent's messages. False when the agent is gone."""
        data = self._control.recv(65536)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "kill" in message:
                os.kill(self._main, signal.SIGKILL)
            elif reaches_pid_1(self._main, message["signal"]):
                os.kill(self._main, message["signal"])
        return bool(data)

    def _first_line(self) -> bytes:
        while b"\n" not in self._received:
            data = self._control.recv(1 << 20)
            if not data:
                os._exit(0)
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        return line

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the agent is gone
            self._control.sendall(json.dumps(message).encode() + b"\n")


def become(request: Request, stdout: int, stderr: int, failure: int) -> None:
    """Runs in the child: becomes the container's main process. Never returns."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for target, source in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
            os.dup2(source, target)
        os.umask(0o022)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except BaseException as error:
        os.write(failure, f"exec {request['argv'][0]!r}: {error}".encode())
    finally:
        os._exit(127)


def reaches_pid_1(pid: int, number: int) -> bool:
    """Whether a signal sent from outside would have any effect on a container's PID 1.

    The kernel does not apply a signal's default action to PID 1 of a namespace: a program that neither handles nor
    blocks SIGTERM keeps running until SIGKILL. The same must happen here.
    """
    bit = 1 << (number - 1)
    with Path(f"/proc/{pid}/status").open() as status:
        masks = dict(line.split(":\t") for line in status if line.startswith(("SigBlk", "SigCgt")))
    return any(int(mask, 16) & bit for mask in masks.values())


def descendants() -> list[int]:
    """Process ids of everything below this process."""
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        parent = queue.pop()
        try:
            for thread in Path(f"/proc/{parent}/task").iterdir():
                with (thread / "children").open() as children:
                    pids = [int(pid) for pid in children.read().split()]
                found += pids
                queue += pids
        except OSError:
            continue  # it ended in the meantime
    return found


def kill_descendants() -> None:
    """Kill and reap until this process has no children; processes orphaned by a kill become our children."""
    while True:
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def over_memory(limit: int) -> bool:
    """Whether the container's processes use more than `limit` bytes, without the page cache.

    Resident pages are quick to read but count shared pages once per process. For the exact figure, the kernel must
    walk page tables, so this reads it only if the quick one is over the limit.
    """
    pids = descendants()
    resident = sum(memory_of(pid, "status", ("RssAnon:", "RssShmem:")) for pid in pids)
    if resident <= limit:
        return False
    return sum(memory_of(pid, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) for pid in pids) > limit


def memory_of(pid: int, table: str, rows: tuple[str, ...]) -> int:
    """Bytes in the named rows of a table under /proc/<pid>; 0 when the process has just ended."""
    try:
        with Path(f"/proc/{pid}/{table}").open() as lines:
            return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(rows))
    except OSError:
        return 0


def copy_some(pipe: int, stream: str, log: LogFile) -> bool:
    """Copy the result of one read. Returns False at the end of the stream."""
    try:
        data = os.read(pipe, 65536)
    except BlockingIOError:
        return True
    if data:
        log.write(stream, data)
    return bool(data)


def copy_all(pipe: int, stream: str, log: LogFile) -> None:
    """Copy what is left in the pipe; it has no writers any more."""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(pipe, 65536):
            log.write(stream, data)


def main() -> None:
    """Fork an init for every socket that arrives on the socket whose number is the first argument."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    # It need not wait for inits: each one reports how its container ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        data, fds, _flags, _address = socket.recv_fds(requests, 1, 1)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            ContainerInit(socket.socket(fileno=fds[0])).run()
            os._exit(0)
        os.close(fds[0])


if __name__ == "__main__":
    main()
