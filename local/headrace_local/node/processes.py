"""Containers' processes from the agent's side: starts them, signals them and learns how they ended."""

import asyncio
import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONTAINER_INIT = Path(__file__).with_name("container_init.py")
# SIGKILL is instant, except for a process in the middle of a disk or device operation.
KILL_SECONDS = 5.0


class StartError(Exception):
    """The program could not be executed; the message is the operating system's."""


@dataclass(frozen=True)
class Command:
    """A program to run: words, whole environment, working directory, log file, memory limit in bytes."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path
    log: Path | None = None
    memory: int | None = None

    def request(self) -> bytes:
        return json.dumps(
            {
                "argv": self.argv,
                "env": self.env,
                "cwd": str(self.cwd),
                "log": None if self.log is None else str(self.log),
                "memory": self.memory,
            }
        ).encode()


@dataclass(frozen=True)
class Exit:
    """How a container's main process ended: exit code (128 + n for signal n), and whether it ran out of memory."""

    code: int
    out_of_memory: bool = False


class Process:
    """A container's main process. `exited` is done once the process and every process below it are gone.

    Cancelling `exited` kills them.
    """

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._writer = writer
        self.exited: asyncio.Task[Exit] = asyncio.create_task(self._wait(reader))

    def signal(self, number: int) -> None:
        """Send a signal to the main process; does nothing if it has ended."""
        if not self.exited.done():
            self._writer.write(json.dumps({"signal": number}).encode() + b"\n")

    def kill(self) -> None:
        """SIGKILL the main process; everything below it follows."""
        if not self.exited.done():
            self._writer.write(b'{"kill": true}\n')

    async def wait(self) -> Exit:
        """Wait for the end and return how it ended. Cancelling the caller does not affect the process."""
        return await asyncio.shield(self.exited)

    async def _wait(self, reader: asyncio.StreamReader) -> Exit:
        try:
            line = await reader.readline()
        finally:
            # Closing makes the init kill everything, which is right both after the end and when the agent stops.
            self._writer.close()
        if not line:  # the init itself was killed
            return Exit(137)
        message = json.loads(line)
        return Exit(message["exit"], message["oom"])


class Spawner:
    """Starts processes through one small helper process (see container_init.py).

    However this object's process dies, the sockets close and every container is killed. If the helper dies, `broken`
    is set: running containers continue, but no new ones can start.
    """

    def __init__(self) -> None:
        self._live: set[Process] = set()
        self._requests, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with child:
            self._helper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CONTAINER_INIT), str(child.fileno())],
                pass_fds=[child.fileno()],
                env={},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the agent's terminal must reach only the agent
            )
        self.broken = asyncio.Event()
        # The helper never writes: readable means closed.
        asyncio.get_running_loop().add_reader(self._requests, self._on_end)

    @property
    def helper_pid(self) -> int:
        return self._helper.pid

    async def spawn(self, command: Command) -> Process:
        """Start a program; returns once it is executing. Raises StartError."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._requests, [b"+"], [theirs.fileno()])
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            writer.write(command.request() + b"\n")
            answer = json.loads(await reader.readline() or b'{"error": "the container\'s init was killed"}')
        except BaseException:
            writer.close()
            raise
        if "error" in answer:
            writer.close()
            raise StartError(answer["error"])
        process = Process(answer["pid"], reader, writer)
        self._live.add(process)
        process.exited.add_done_callback(lambda _exited: self._live.discard(process))
        return process

    async def close(self) -> None:
        """Kill every process and end the helper."""
        for process in self._live:
            process.kill()
        if self._live:
            await asyncio.wait({process.exited for process in self._live}, timeout=KILL_SECONDS)
        asyncio.get_running_loop().remove_reader(self._requests)
        self._requests.close()
        self._helper.wait()

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._requests)
        self.broken.set()
