"""Reads containers' log files: `<RFC 3339 time> stdout|stderr F|P <text>`, one line each."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class LogQuery:
    """Which part of a log is wanted: the last `tail` lines, lines since a time, with or without timestamps."""

    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False


def select(lines: Iterable[bytes], query: LogQuery) -> Iterator[bytes]:
    """Selects the wanted part of a log file's raw lines, as `kubectl logs` prints it."""
    if query.since is not None:
        since = query.since
        lines = (line for line in lines if datetime.fromisoformat(_parts(line)[0].decode()) >= since)
    if query.tail is not None:
        lines = deque(lines, maxlen=query.tail)
    return (render(line, query.timestamps) for line in lines)


def render(line: bytes, timestamps: bool = False) -> bytes:
    """The text of one raw line. A partial line (P) has no newline."""
    time, _stream, tag, text = _parts(line)
    ending = b"" if tag == b"P" else b"\n"
    return (time + b" " if timestamps else b"") + text + ending


def tail_text(path: Path, max_bytes: int, max_lines: int) -> str:
    """The end of a log file, for a termination message; empty if there is no file."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        text = b"".join(select(log, LogQuery(tail=max_lines)))
    return text[-max_bytes:].decode(errors="replace")


def _parts(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    time, stream, tag, text = line.rstrip(b"\n").split(b" ", 3)
    return time, stream, tag, text
