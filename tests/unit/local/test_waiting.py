import pytest

from headrace_local import waiting
from headrace_local.waiting import wait_until


def test_returns_what_became_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0)
    answers = iter([None, 0, "", "found"])
    assert wait_until(lambda: next(answers), "an answer", 10) == "found"


def test_names_what_it_waited_for() -> None:
    with pytest.raises(TimeoutError, match="waited 0 s without success for: the moon"):
        wait_until(lambda: None, "the moon", 0)


def test_ends_as_soon_as_waiting_is_pointless() -> None:
    def check() -> None:
        raise RuntimeError("etcd has ended")

    with pytest.raises(RuntimeError, match="etcd has ended"):
        wait_until(lambda: None, "the API server", 60, check)
