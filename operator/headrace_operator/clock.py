"""Time as an argument: everything that asks for the time asks a Clock, so that tests move it instead of sleeping."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds, as status fields hold it: two transitions within a second stay in order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 with exactly six decimals: Kubernetes' MicroTime, as Leases and Events hold it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    """The moment that an RFC 3339 text of the API server names."""
    return datetime.fromisoformat(text)
