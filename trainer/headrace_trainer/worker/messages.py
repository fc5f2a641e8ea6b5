"""The worker's end of the pipe to the supervisor."""

import os
import threading

from headrace_trainer.protocol import ENV_MESSAGES_FD, Message


class Messages:
    """Sends messages from any thread, one per line, never interleaved.

    If the supervisor is gone, sending raises BrokenPipeError, which ends the worker: it has no one left to report to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> "Messages":
        """Send to the supervisor's pipe, or to stdout if the worker was started by hand."""
        return cls(int(os.environ.get(ENV_MESSAGES_FD, "1")))

    def send(self, message: Message) -> None:
        """Write one line."""
        line = message.model_dump_json().encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]
