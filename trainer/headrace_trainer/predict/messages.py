"""Messages to the command that started the program: JSON, one per line, on stdout. Messages to people go to stderr."""

import json
import sys
from typing import Any


def say_progress(done: int, of: int) -> None:
    """Report the number of images processed so far."""
    _say({"done": done, "of": of})


def say_facts(facts: list[tuple[str, str]]) -> None:
    """Report the results at the end, as pairs of name and value."""
    _say({"facts": facts})


def warn(text: str) -> None:
    """Print a line for people."""
    print(text, file=sys.stderr, flush=True)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)
