"""What the program says to the command that started it: JSON, one line each, on stdout. What is for people goes to stderr."""

import json
import sys
from typing import Any


def say_progress(done: int, of: int) -> None:
    """How many images were looked at so far."""
    _say({"done": done, "of": of})


def say_facts(facts: list[tuple[str, str]]) -> None:
    """What came out, at the end: names and what they are."""
    _say({"facts": facts})


def warn(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)
