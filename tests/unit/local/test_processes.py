"""However the owner ends, its processes and folders go."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headrace_local import janitor
from headrace_local.processes import Process, ProcessEndedError, Processes
from headrace_testing.leftovers import eventually, port_is_open, processes_mentioning

# Listens on a port, and leaves an orphan in its own session.
SERVER = """
import os, socket, subprocess, sys, time
server = socket.create_server(("127.0.0.1", 0))
subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(server.getsockname()[1], flush=True)
time.sleep(1000)
"""

# Owns such a server, reports it, and sleeps until something happens.
OWNER = f"""
import os, sys, time
from pathlib import Path
from headrace_local import janitor
from headrace_local.processes import Processes
folder = Path(sys.argv[1])
processes = Processes(remove=[folder])
folder.mkdir()
log = folder / "server.log"
try:
    server = processes.start("server", [sys.executable, "-c", {SERVER!r}, folder], log=log, cwd=folder, env=os.environ)
    while not log.exists() or not log.read_text().strip():
        time.sleep(0.01)
    print(log.read_text().strip(), flush=True)
    time.sleep(1000)
finally:
    processes.close()
"""


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


def start(processes: Processes, folder: Path, *argv: str) -> Process:
    return processes.start("subject", argv, log=folder / "subject.log", cwd=folder, env=os.environ)


def python(code: str) -> tuple[str, str, str]:
    return (sys.executable, "-c", code)


def owner_of_a_server(folder: Path) -> tuple["subprocess.Popen[str]", int]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert owner.stdout is not None
    port = int(owner.stdout.readline())
    assert port_is_open(port)
    assert len(processes_mentioning(folder)) >= 3  # owner, janitor, server; and its orphan, which works in the folder
    return owner, port


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_nothing_is_left_when_the_owner_is_ended_by(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "owned"
    owner, port = owner_of_a_server(folder)
    with owner:
        os.killpg(owner.pid, number)  # like a terminal's Ctrl-C: to the whole foreground group
        owner.wait(10)
    assert eventually(lambda: not folder.exists())
    assert eventually(lambda: processes_mentioning(folder) == [])
    assert not port_is_open(port)


def test_nothing_but_the_folder_is_left_when_the_janitor_is_killed(tmp_path: Path) -> None:
    processes = Processes()
    subject = start(processes, tmp_path, "sleep", "1000")
    os.kill(processes.janitor_pid, signal.SIGKILL)
    with pytest.raises(ProcessEndedError, match=r"janitor .* was killed"):
        subject.wait(10)
    assert eventually(lambda: not psutil.pid_exists(subject.pid))
    processes.close()


def test_close_ends_orphans_and_removes_folders(tmp_path: Path) -> None:
    folder = tmp_path / "owned"
    processes = Processes(remove=[folder])
    folder.mkdir()
    orphaning = "import subprocess; print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)"
    subject = start(processes, folder, *python(orphaning))
    assert subject.wait(10) == 0
    orphan = int(subject.log_tail())
    assert psutil.pid_exists(orphan)
    processes.close()
    assert not psutil.pid_exists(orphan)
    assert not folder.exists()


def test_a_janitor_that_starts_after_its_owner_s_death_still_cleans_up(tmp_path: Path) -> None:
    folder = tmp_path / "owned"
    folder.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    argv = [sys.executable, "-I", "-S", janitor.__file__, str(dead.pid), str(folder)]
    subprocess.run(argv, check=True, timeout=20, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert not folder.exists()


def test_close_twice_is_fine(tmp_path: Path) -> None:
    processes = Processes()
    processes.close()
    processes.close()


def test_an_unexpected_end_is_reported_with_exit_code_and_log(processes: Processes, tmp_path: Path) -> None:
    subject = start(processes, tmp_path, *python("import sys; print('cannot bind'); sys.exit(3)"))
    assert subject.wait(10) == 3
    with pytest.raises(ProcessEndedError, match=r"subject \(pid \d+\) ended with exit code 3(.|\n)*cannot bind"):
        processes.check()


def test_a_signal_is_named(processes: Processes, tmp_path: Path) -> None:
    subject = start(processes, tmp_path, *python("import os; os.kill(os.getpid(), 11)"))
    assert subject.wait(10) == -11
    with pytest.raises(ProcessEndedError, match="ended with SIGSEGV"):
        processes.check()


def test_a_requested_end_is_not_an_error(processes: Processes, tmp_path: Path) -> None:
    subject = start(processes, tmp_path, "sleep", "1000")
    assert subject.running
    assert subject.stop() == -signal.SIGTERM
    assert not subject.running
    processes.check()


def test_stop_kills_once_the_grace_is_over(processes: Processes, tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    subject = start(processes, tmp_path, *python(deaf))
    assert eventually(lambda: "deaf" in subject.log_tail())
    assert subject.stop(grace_seconds=0.1) == -signal.SIGKILL


def test_a_signal_after_the_end_has_no_effect(processes: Processes, tmp_path: Path) -> None:
    subject = start(processes, tmp_path, "true")
    subject.wait(10)
    subject.signal(signal.SIGKILL)
    assert subject.exit_code == 0


def test_waiting_is_bounded(processes: Processes, tmp_path: Path) -> None:
    subject = start(processes, tmp_path, "sleep", "1000")
    with pytest.raises(TimeoutError, match=r"subject .* is still running"):
        subject.wait(0)


def test_a_missing_program_is_named(processes: Processes, tmp_path: Path) -> None:
    with pytest.raises(ProcessEndedError, match=r"subject could not be started: .*no-such-program"):
        start(processes, tmp_path, "no-such-program")


def test_children_have_exactly_the_environment_they_were_given(processes: Processes, tmp_path: Path) -> None:
    env = {"ONLY": "this", "PATH": os.environ["PATH"]}
    subject = processes.start("env", ["env"], log=tmp_path / "env.log", cwd=tmp_path, env=env)
    assert subject.wait(10) == 0
    assert set(subject.log_tail().splitlines()) == {"ONLY=this", f"PATH={os.environ['PATH']}"}


def test_ctrl_c_is_not_ignored_by_children(processes: Processes, tmp_path: Path) -> None:
    subject = start(processes, tmp_path, "sleep", "1000")
    subject.signal(signal.SIGINT)
    assert subject.wait(10) == -signal.SIGINT
