"""Extracts some packages from a lock file, with their hashes.

    python subset.py LOCK RESOLVED

`RESOLVED` has a line `name==version` for each wanted package, as `uv pip compile` writes it. The result goes to stdout. It changes
only if one of these packages changes, so a layer made from it survives all other changes of LOCK and pyproject.toml.
Standard library only: the Dockerfile runs it with a Python that has nothing else.
"""

import re
import sys
from pathlib import Path

ENTRY = re.compile(r"(?m)^(?=[a-z0-9])")
COMMENT = re.compile(r"(?m)^ *#.*\n")
"""Comments say who requires a package, which depends on packages that are not wanted here."""
PIN = re.compile(r"([a-z0-9._-]+)==(\S+)")


def subset(lock: str, resolved: str) -> str:
    """The entries of `lock` with a name in `resolved`.

    Raises:
        ValueError: the lock has no entry for one; the message has its name and version.
    """
    entries = [(pinned.groups(), entry) for entry in ENTRY.split(lock) if (pinned := PIN.match(entry))]
    wanted = {pinned.groups() for line in resolved.splitlines() if (pinned := PIN.match(line))}
    if absent := wanted - {pin for pin, _ in entries}:
        names = ", ".join("==".join(pin) for pin in sorted(absent))
        raise ValueError(f"not in the lock file: {names}. hint: make lock")
    return "".join(COMMENT.sub("", entry) for pin, entry in entries if pin in wanted)


if __name__ == "__main__":
    try:
        sys.stdout.write(subset(Path(sys.argv[1]).read_text(), Path(sys.argv[2]).read_text()))
    except ValueError as error:
        sys.exit(f"error: {error}")
