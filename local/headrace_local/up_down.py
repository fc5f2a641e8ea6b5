"""`up`, `down` and `status` of a cluster that keeps running for a project folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from rich.console import Console

from headrace_local.binaries import find_binaries
from headrace_local.local_folder import KeeperRecord, LocalFolder
from headrace_local.waiting import wait_until

DOWN_TIMEOUT = 30.0


class StartFailedError(RuntimeError):
    """The cluster did not start; nothing of it is left."""


def up(project: Path, gpus: int, console: Console, control_plane_only: bool = False) -> None:
    """Starts a cluster for `project` and returns when everything is ready.

    Raises:
        StartFailedError: it did not start; the message says why.
        NotOursError: `.local` contains something else.
    """
    local = LocalFolder(project)
    if local.clean_up_after_crash():
        console.print(f"Removed {local.path}, which a crashed cluster had left behind.")
    keeper = local.keeper()
    if keeper is not None:
        console.print(f"Already up (pid {keeper.pid}).")
        _print_usage(local, console)
        return
    find_binaries()
    started = time.monotonic()
    local.path.mkdir(mode=0o700)
    words = [sys.executable, "-m", "headrace_local.keeper", str(project.absolute()), "--gpus", str(gpus)]
    if control_plane_only:
        words.append("--control-plane-only")
    with (
        local.keeper_log.open("ab") as log,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        ) as process,
    ):
        try:
            _follow(process, local, console)
        except BaseException:
            process.terminate()
            process.wait(DOWN_TIMEOUT)
            shutil.rmtree(local.path, ignore_errors=True)
            raise
        console.print(f"Ready in {time.monotonic() - started:.1f} s.")
        _print_usage(local, console)
        # The keeper stays on purpose: the context manager must not wait for it.
        process.returncode = 0


def down(project: Path, console: Console) -> None:
    """Stops the cluster of `project` and removes `.local`.

    Raises:
        NotOursError: `.local` contains something else.
    """
    local = LocalFolder(project)
    if local.clean_up_after_crash():
        console.print(f"The cluster had crashed; removed {local.path}.")
        return
    keeper = local.keeper()
    if keeper is None:
        console.print("Nothing is up.")
        return
    os.kill(keeper.pid, signal.SIGTERM)
    try:
        wait_until(lambda: not keeper.alive, "the cluster's end", DOWN_TIMEOUT)
    except TimeoutError:
        os.kill(keeper.pid, signal.SIGKILL)  # the janitor still cleans up
        wait_until(lambda: not keeper.alive, "the keeper's end", DOWN_TIMEOUT)
    wait_until(lambda: not local.path.exists(), f"{local.path} is removed", DOWN_TIMEOUT)
    console.print("Down; nothing is left.")


def status(project: Path, console: Console) -> bool:
    """Prints what is running. Returns whether the whole cluster is up."""
    local = LocalFolder(project)
    keeper = local.keeper()
    if keeper is None or not keeper.alive:
        console.print("Nothing is up." if keeper is None else f"Crashed; `down` or `up` removes {local.path}.")
        return False
    states = local.processes()
    if not states:
        console.print("Starting.")
        return False
    console.print(f"Up for {_age(keeper)}.")
    whole = True
    for name, state in states.items():
        if state["ended"] is None:
            console.print(f"  {name:24} running  pid {state['pid']}")
        else:
            whole = False
            console.print(f"  {name:24} ENDED with {state['ended']}; see {state['log']}", soft_wrap=True)
    return whole


def _follow(process: "subprocess.Popen[str]", local: LocalFolder, console: Console) -> None:
    """Prints the keeper's steps until it reports that it is ready."""
    assert process.stdout is not None
    for line in process.stdout:
        match json.loads(line):
            case {"step": step, "seconds": seconds}:
                console.print(f"  {step}: {seconds:.1f} s")
            case {"error": error}:
                raise StartFailedError(str(error))
            case {"ready": True}:
                return
    raise StartFailedError(f"the keeper ended (exit code {process.wait()}):\n{local.keeper_log.read_text()[-2000:]}")


def _print_usage(local: LocalFolder, console: Console) -> None:
    console.print(f"Use it:  . {_short(local.env)}  &&  {_short(local.path / 'bin' / 'kubectl')} get trainingjobs -A")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _age(keeper: KeeperRecord) -> str:
    minutes = int(time.time() - psutil.Process(keeper.pid).create_time()) // 60
    return f"{minutes} minutes" if minutes != 1 else "1 minute"
