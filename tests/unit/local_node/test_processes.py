"""Real processes under a container's init; every wait ends with an event, not after a time."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from headrace_local.node.processes import Command, Exit, Process, Spawner, StartError

ENV = {"PATH": os.environ["PATH"]}


def with_spawner(test: Callable[[Spawner], Awaitable[None]]) -> None:
    """Run an asynchronous test with its own spawner."""

    async def run() -> None:
        spawner = Spawner()
        try:
            await asyncio.wait_for(test(spawner), 30)
        finally:
            await spawner.close()

    asyncio.run(run())


def shell(folder: Path, script: str, *, memory: int | None = None) -> Command:
    return Command(("sh", "-c", script), ENV, folder, folder / "log", memory)


def output(folder: Path) -> list[str]:
    """The log's lines without their times."""
    return [line.split(" ", 1)[1] for line in (folder / "log").read_text().splitlines()]


async def line_of(folder: Path, name: str) -> str:
    """The first line that a process writes to a file, once it exists."""
    while not (path := folder / name).exists() or not path.read_text().endswith("\n"):  # noqa: ASYNC110 other process
        await asyncio.sleep(0.01)
    return path.read_text().splitlines()[0]


async def gone(pid: int) -> None:
    while psutil.pid_exists(pid):  # noqa: ASYNC110 no event says that a process of others has ended
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -6 $$", 134)])
def test_the_exit_code_is_the_programs_or_128_plus_the_signal(tmp_path: Path, script: str, code: int) -> None:
    async def test(spawner: Spawner) -> None:
        process = await spawner.spawn(shell(tmp_path, script))
        assert await process.wait() == Exit(code)

    with_spawner(test)


def test_environment_and_folder_are_exactly_those_given(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        process = await spawner.spawn(Command(("/usr/bin/env",), {"ONLY": "this"}, tmp_path, tmp_path / "log"))
        await process.wait()
        process = await spawner.spawn(Command(("/bin/pwd",), {}, tmp_path, tmp_path / "log"))
        await process.wait()

    with_spawner(test)
    assert output(tmp_path) == ["stdout F ONLY=this", f"stdout F {tmp_path}"]


def test_both_streams_are_logged_and_long_lines_split(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        script = "import sys; print('x' * 20000); print('err', file=sys.stderr); print('no end', end='')"
        command = Command((sys.executable, "-c", script), ENV, tmp_path, tmp_path / "log")
        await (await spawner.spawn(command)).wait()

    with_spawner(test)
    assert sorted(output(tmp_path)) == sorted(
        ["stdout P " + "x" * 16384, "stdout F " + "x" * 3616, "stderr F err", "stdout P no end"]
    )


def test_a_request_of_any_size_arrives(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        # An annotation in an environment variable may have 128 KiB, the kernel's limit for one string.
        values = {f"BIG{number}": "x" * 120_000 for number in range(4)}
        command = Command(("sh", "-c", "echo ${#BIG3}"), ENV | values, tmp_path, tmp_path / "log")
        assert await (await spawner.spawn(command)).wait() == Exit(0)

    with_spawner(test)
    assert output(tmp_path) == ["stdout F 120000"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Command(("no-such-program",), ENV, Path("/")), "exec 'no-such-program': .*No such file or directory"),
        (Command(("/etc",), ENV, Path("/")), "exec '/etc': .*Permission denied"),
        (Command(("true",), ENV, Path("/no/such/folder")), "No such file or directory: '/no/such/folder'"),
    ],
)
def test_what_cannot_be_executed_says_why(command: Command, message: str) -> None:
    async def test(spawner: Spawner) -> None:
        with pytest.raises(StartError, match=message):
            await spawner.spawn(command)

    with_spawner(test)


def test_sigterm_reaches_a_main_process_that_handles_it(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        script = f"trap 'exit 3' TERM; echo ready > {tmp_path}/ready; while :; do sleep 0.01; done"
        process = await spawner.spawn(shell(tmp_path, script))
        await line_of(tmp_path, "ready")
        process.signal(signal.SIGTERM)
        assert await process.wait() == Exit(3)

    with_spawner(test)


def test_sigterm_does_nothing_to_a_main_process_without_a_handler_as_for_pid_1(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        process = await spawner.spawn(shell(tmp_path, f"read line < {tmp_path}/go; exit 5"))
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGTERM)
        process.kill()
        assert await process.wait() == Exit(137)

    os.mkfifo(tmp_path / "go")
    with_spawner(test)


def test_what_the_main_process_leaves_behind_dies_with_it(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        detached = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' > /dev/null 2>&1 &"
        process = await spawner.spawn(shell(tmp_path, f"({detached}) ; while [ ! -s {tmp_path}/pid ]; do :; done"))
        assert await process.wait() == Exit(0)
        assert not psutil.pid_exists(int(await line_of(tmp_path, "pid")))

    with_spawner(test)


def test_children_die_when_the_main_process_is_killed(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        process = await spawner.spawn(shell(tmp_path, f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' & wait"))
        pid = int(await line_of(tmp_path, "pid"))
        process.kill()
        assert await process.wait() == Exit(137)
        assert not psutil.pid_exists(pid)

    with_spawner(test)


def test_more_memory_than_the_limit_ends_in_an_out_of_memory_kill(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        # A child holds the memory: the limit covers all of the container's processes.
        child = "x = bytearray(80_000_000); import time; time.sleep(1000)"
        script = f'{sys.executable} -c "{child}" & wait'
        process = await spawner.spawn(shell(tmp_path, script, memory=60_000_000))
        assert await process.wait() == Exit(137, out_of_memory=True)

    with_spawner(test)


def test_memory_shared_by_processes_is_counted_once() -> None:
    # 40 MB in each of four processes, but the same 40 MB; they end when whoever holds the other end of a pipe does.
    measured = """
import os
from headrace_local.node.container_init import over_memory

ready, say_ready = os.pipe()
over, keep = os.pipe()
if os.fork() == 0:
    os.close(keep)
    held = bytearray(40_000_000)
    os.fork(), os.fork()
    os.write(say_ready, b"!")
    os.read(over, 1)
    os._exit(0)
said = b""
while len(said) < 4:
    said += os.read(ready, 4)
print(over_memory(100_000_000), over_memory(30_000_000))
"""
    ended = subprocess.run([sys.executable, "-c", measured], check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.split() == ["False", "True"]


def test_cancelling_the_wait_leaves_the_process_and_cancelling_its_end_kills_it(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        process: Process = await spawner.spawn(shell(tmp_path, "sleep 1000"))
        waiting = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        assert psutil.pid_exists(process.pid)
        process.exited.cancel()
        await gone(process.pid)

    with_spawner(test)


def test_everything_dies_with_an_agent_that_is_killed(tmp_path: Path) -> None:
    agent = f"""
import asyncio, os, signal
from pathlib import Path
from headrace_local.node.processes import Command, Spawner

async def main():
    spawner = Spawner()
    script = "setsid sleep 1000 & echo $$ $! > {tmp_path}/pids; wait"
    await spawner.spawn(Command(("sh", "-c", script), dict(os.environ), Path("/")))
    while not Path("{tmp_path}/pids").exists() or not Path("{tmp_path}/pids").read_text().endswith("\\n"):
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", agent], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2

    async def all_gone() -> None:
        await asyncio.wait_for(asyncio.gather(*(gone(pid) for pid in pids)), 10)

    asyncio.run(all_gone())


def test_the_end_of_the_helper_is_noticed(tmp_path: Path) -> None:
    async def test(spawner: Spawner) -> None:
        process = await spawner.spawn(shell(tmp_path, "sleep 1000"))
        os.kill(spawner.helper_pid, signal.SIGKILL)
        await spawner.broken.wait()
        assert not process.exited.done()
        process.kill()
        assert await process.wait() == Exit(137)

    with_spawner(test)
