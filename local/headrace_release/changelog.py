"""CHANGELOG.md: what users notice, by version, newest first. What is not released yet stands under "Unreleased"."""

import re
from datetime import date
from pathlib import Path

FILE = Path("CHANGELOG.md")
UNRELEASED = "## Unreleased"
SECTION = re.compile(r"(?m)^## (?P<title>.+)$")


class ChangelogError(ValueError):
    """The file lacks what a release needs; the text says what."""


def sections(text: str) -> dict[str, str]:
    """What stands under each heading, in the file's order."""
    found = list(SECTION.finditer(text))
    ends = [later.start() for later in found[1:]] + [len(text)]
    return {match["title"]: text[match.end() : end].strip() for match, end in zip(found, ends, strict=True)}


def release(text: str, version: str, today: date) -> str:
    """The text with all that was unreleased under the version's own heading.

    Raises:
        ChangelogError: nothing stands under "Unreleased", or the version is there already.
    """
    known = sections(text)
    if not known.get("Unreleased"):
        raise ChangelogError(f'{FILE}: nothing stands under "{UNRELEASED}"; say there what users will notice in {version}')
    if any(title.split()[0] == version for title in known):
        raise ChangelogError(f"{FILE} already has a section for {version}")
    return text.replace(f"{UNRELEASED}\n", f"{UNRELEASED}\n\n## {version} ({today.isoformat()})\n", 1)


def notes(text: str, version: str) -> str:
    """What stands under a version.

    Raises:
        ChangelogError: there is no such section.
    """
    for title, body in sections(text).items():
        if title.split()[0] == version:
            return body
    raise ChangelogError(f"{FILE} has no section for {version}")
