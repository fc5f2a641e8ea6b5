from datetime import UTC, datetime
from pathlib import Path

from headrace_local.node.container_logs import LogQuery, select, tail_text

RAW = [
    b"2026-08-01T12:00:00.000000001Z stdout F one\n",
    b"2026-08-01T12:00:01.000000002Z stderr P tw\n",
    b"2026-08-01T12:00:01.000000003Z stderr F o\n",
    b"2026-08-01T12:00:02.000000004Z stdout F \n",
]


def text(query: LogQuery) -> bytes:
    return b"".join(select(RAW, query))


def test_lines_come_without_their_tags_and_partial_ones_joined() -> None:
    assert text(LogQuery()) == b"one\ntwo\n\n"


def test_the_tail_is_the_last_lines() -> None:
    assert text(LogQuery(tail=1)) == b"\n"
    assert text(LogQuery(tail=0)) == b""


def test_timestamps_come_before_the_text() -> None:
    assert text(LogQuery(tail=2, timestamps=True)).startswith(b"2026-08-01T12:00:01.000000003Z o\n")


def test_only_lines_since_a_time() -> None:
    assert text(LogQuery(since=datetime(2026, 8, 1, 12, 0, 1, tzinfo=UTC))) == b"two\n\n"


def test_the_end_of_a_log_is_bounded_in_lines_and_bytes(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(b"".join(RAW))
    assert tail_text(log, max_bytes=4, max_lines=10) == "wo\n\n"
    assert tail_text(log, max_bytes=100, max_lines=1) == "\n"
    assert tail_text(tmp_path / "none.log", max_bytes=4, max_lines=1) == ""
