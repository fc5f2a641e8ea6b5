"""CHANGELOG.md: what users notice, by version, newest first. Unreleased changes are under "Unreleased"."""

import re
from datetime import date
from pathlib import Path

FILE = Path("CHANGELOG.md")
UNRELEASED = "## Unreleased"
SECTION = re.compile(r"(?m)^## (?P<title>.+)$")


class ChangelogError(ValueError):
    """The file lacks something that a release needs; the message says what."""


def sections(text: str) -> dict[str, str]:
    """The text under each heading, in the file's order."""
    found = list(SECTION.finditer(text))
    ends = [later.start() for later in found[1:]] + [len(text)]
    return {match["title"]: text[match.end() : end].strip() for match, end in zip(found, ends, strict=True)}


def release(text: str, version: str, today: date) -> str:
    """The text with everything unreleased moved under the version's heading.

    Raises:
        ChangelogError: there is nothing under "Unreleased", or the version already has a section.
    """
    known = sections(text)
    if not known.get("Unreleased"):
        raise ChangelogError(f'{FILE} has nothing under "{UNRELEASED}"; describe there what users will notice in {version}')
    if any(title.split()[0] == version for title in known):
        raise ChangelogError(f"{FILE} already has a section for {version}")
    return text.replace(f"{UNRELEASED}\n", f"{UNRELEASED}\n\n## {version} ({today.isoformat()})\n", 1)


def notes(text: str, version: str) -> str:
    """The text under a version's heading.

    Raises:
        ChangelogError: there is no such section.
    """
    for title, body in sections(text).items():
        if title.split()[0] == version:
            return body
    raise ChangelogError(f"{FILE} has no section for {version}")
