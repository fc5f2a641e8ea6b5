"""Lists the licences of the packages in Headrace's images. Writes docs/licences.md.

Packages name their licence in their metadata in three ways: an SPDX expression, a classifier, or free text. This turns all of them
into SPDX expressions. If it cannot, it fails instead of leaving a blank: read the package's licence file and add the licence to
READ_BY_HAND. It does not see what the metadata omit, such as another author's library in a package's binaries.
"""

import re
import sys
from collections.abc import Callable, Iterator
from email.message import Message
from importlib.metadata import distribution
from typing import cast

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "headrace"
PROGRAMS = ("operator", "trainer")
LEFT_OUT = {"triton"}
"""Packages that the Dockerfile leaves out of the trainer."""
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
ACCEPTED = {
    *(
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
    ),
    *("MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib", NVIDIA),
}
"""Licences that a package may have. MPL-2.0 only requires us to publish changed files, and we change none; NVIDIA's allows
distributing its libraries with a program that uses them. The AGPL must never be in here."""
SPELLINGS = {
    "Apache 2.0": "Apache-2.0",
    "ISC License": "ISC",
    "NVIDIA Proprietary Software": NVIDIA,
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: MIT License": "MIT",
}
"""Unambiguous free texts and classifiers."""
READ_BY_HAND = {
    "cuda-toolkit": NVIDIA,  # an empty package that only depends on others; NVIDIA's EULA for the toolkit
    "faster-coco-eval": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "mpmath": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "sympy": "BSD-3-Clause",
    "torchvision": "BSD-3-Clause",
}
"""Packages whose metadata say nothing, or only "BSD", which can mean several licences. These come from their licence files."""


class LicenceError(Exception):
    """Packages have an unknown or unaccepted licence; the message names each and says what to do."""


def licence_of(name: str, metadata: Message) -> str | None:
    """The SPDX expression of a package, or None if it cannot be read."""
    if name in READ_BY_HAND:
        return READ_BY_HAND[name]
    classifiers = [
        line.removeprefix("License :: ") for line in metadata.get_all("Classifier") or [] if line.startswith("License :: ")
    ]
    texts = [metadata.get("License-Expression"), metadata.get("License"), *classifiers]
    for text in filter(None, texts):
        try:
            return canonicalize_license_expression(SPELLINGS.get(text, text))
        except InvalidLicenseExpression:
            continue
    return None


def parts(expression: str) -> set[str]:
    """The licences of an expression that joins them by AND; any other combination stays one part, for a person to check."""
    return {part.strip("() ") for part in re.split(r"\bAND\b", expression)}


def packages_of(
    program: str, requires: Callable[[str], list[str]] = lambda name: distribution(name).requires or []
) -> Iterator[str]:
    """All packages that `headrace[program]` requires, directly or indirectly, on this machine's Python and system."""
    waiting: list[tuple[str, frozenset[str]]] = [(PROJECT, frozenset({program}))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        for line in requires(name):
            wanted = Requirement(line)
            needed = wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras))
            found = (str(canonicalize_name(wanted.name)), frozenset(wanted.extras))
            if needed and found not in seen and found[0] not in LEFT_OUT:
                if found[0] not in {known for known, _ in seen}:
                    yield found[0]
                seen.add(found)
                waiting.append(found)


def table() -> dict[str, tuple[str, tuple[str, ...]]]:
    """For each package, its licence and the images that contain it.

    Raises:
        LicenceError: one is unknown or not accepted.
    """
    carried = {program: set(packages_of(program)) for program in PROGRAMS}
    rows, problems = {}, []
    for name in sorted(set().union(*carried.values())):
        licence = licence_of(name, cast(Message, distribution(name).metadata))
        if problem := problem_with(name, licence):
            problems.append(problem)
        rows[name] = (str(licence), tuple(program for program in PROGRAMS if name in carried[program]))
    if problems:
        raise LicenceError("\n".join(problems))
    return rows


def problem_with(name: str, licence: str | None) -> str | None:
    """Why we cannot ship a package, or None if we can."""
    if licence is None:
        return f"{name}: its metadata do not name its licence. Read its licence file, then add it to READ_BY_HAND in licences.py"
    if unaccepted := sorted(parts(licence) - ACCEPTED):
        return f"{name}: {', '.join(unaccepted)} is not accepted (see ACCEPTED in licences.py); remove the package"
    return None


def to_markdown() -> str:
    """docs/licences.md."""
    lines = [
        "# Licences of the packages in the images",
        "",
        "Headrace is Apache-2.0. Its images contain these Python packages as their authors publish them. If a package includes its",
        "licence's text, you find that in the image, in the package's `.dist-info`. The base image has its own licences.",
        "`make manifests` writes this page from the packages' metadata.",
        "",
        "| package | licence | image |",
        "|---|---|---|",
        *(f"| {name} | {licence} | {', '.join(programs)} |" for name, (licence, programs) in table().items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(to_markdown())
    except LicenceError as error:
        sys.exit(f"error: {error}")
