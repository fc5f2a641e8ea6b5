"""Time as a dependency: all code reads the time from a Clock, so that tests advance it instead of sleeping."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The current time, UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds, as in status fields: two transitions within a second stay in order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 with exactly six decimals: Kubernetes' MicroTime, as in Leases and Events."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    """Parses an RFC 3339 time from the API server."""
    return datetime.fromisoformat(text)
