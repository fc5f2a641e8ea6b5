"""Where a job stands after its last attempt was examined."""

from dataclasses import dataclass

from headrace_operator.decision import Decision


@dataclass(frozen=True, slots=True)
class Standing:
    """What to do about a job, and whether it keeps its place in the project's line."""

    decision: Decision
    in_line: bool
    """False if the job is over, being deleted, or suspended: later jobs may run."""
