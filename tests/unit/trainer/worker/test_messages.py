import os
import threading

import pytest

from headrace_trainer.protocol import ENV_MESSAGES_FD, MESSAGE, Building
from headrace_trainer.worker.messages import Messages


def test_messages_of_many_threads_arrive_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setenv(ENV_MESSAGES_FD, str(write))
    messages = Messages.from_environment()
    sent = [Building(message=str(number) * 20_000) for number in range(8)]  # each longer than what a pipe writes at once
    threads = [threading.Thread(target=messages.send, args=(message,)) for message in sent]
    for thread in threads:
        thread.start()
    with os.fdopen(read, "rb") as lines:
        received = [MESSAGE.validate_json(lines.readline()) for _ in sent]
    for thread in threads:
        thread.join()
    os.close(write)
    assert sorted(received, key=str) == sorted(sent, key=str)


def test_the_worker_ends_with_its_supervisor() -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        Messages(write).send(Building(message="is anybody there?"))
    os.close(write)
