"""The stop signal wakes everyone who waits for it."""

import signal
import subprocess
import sys
import threading
import time

from headrace_storage.stop import Stop


def test_everyone_who_waits_wakes_at_once_and_does_not_wait_again() -> None:
    stop = Stop()
    woken = threading.Event()
    thread = threading.Thread(target=lambda: woken.set() if stop.wait(60) else None)
    thread.start()
    stop.request()
    assert woken.wait(10)
    thread.join()
    assert stop.wait(60)
    assert stop.requested
    assert not stop.hurry
    assert stop.requested_at <= time.monotonic()
    stop.close()


def test_twice_means_hurry_and_the_first_moment_counts() -> None:
    stop = Stop()
    assert not stop.wait(0)
    stop.request()
    first = stop.requested_at
    stop.request()
    assert stop.hurry
    assert stop.requested_at == first
    stop.close()


def test_sigterm_and_ctrl_c_are_requests() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    stop = Stop()
    try:
        stop.install()
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        signal.raise_signal(signal.SIGINT)
        assert stop.hurry
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
        stop.close()


_ENDING = """
import os, signal, sys
from headrace_storage.stop import Stop, ignore_from_now_on

class Last:
    def __del__(self):  # Python has taken its handlers away by now
        os.kill(os.getpid(), signal.SIGTERM)

stop = Stop()
stop.install()
sys.modules["__main__"].last = Last()
ignore_from_now_on()
sys.exit(3)
"""


def test_a_signal_while_python_ends_does_not_replace_the_exit_code() -> None:
    assert subprocess.run([sys.executable, "-c", _ENDING], check=False, timeout=60).returncode == 3
