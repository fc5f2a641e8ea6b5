"""Where a job stands after a look at it."""

from dataclasses import dataclass

from headrace_operator.decision import Decision


@dataclass(frozen=True, slots=True)
class Standing:
    """What to do about a job, and whether it keeps its place in the project's line."""

    decision: Decision
    in_line: bool
    """False when the job is over, being deleted, or paused: later jobs may go."""
