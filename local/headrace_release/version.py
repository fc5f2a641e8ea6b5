"""The version of Headrace. pyproject.toml defines it, the chart and the code repeat it, and a test compares them."""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path("pyproject.toml")
CHART = Path("charts/headrace/Chart.yaml")
CODE = Path("crds/headrace_api/names.py")
SHAPE = re.compile(r"(\d+)\.(\d+)\.(\d+)")
IN_PYPROJECT = re.compile(r'(?m)^version = "([^"]*)"$')
IN_CODE = re.compile(r'(?m)^RELEASE: Final = "([^"]*)"$')
IN_CHART = re.compile(r'(?m)^(version|appVersion): *"?([^"\n]*?)"? *$')


class VersionError(ValueError):
    """Not a valid version, or a file where it cannot be written."""


def current(root: Path) -> str:
    """The version in pyproject.toml."""
    version: str = tomllib.loads((root / PYPROJECT).read_text())["project"]["version"]
    return version


def parse(version: str) -> tuple[int, int, int]:
    """Its three numbers.

    Raises:
        VersionError: it does not have the form 1.2.3.
    """
    matched = SHAPE.fullmatch(version)
    if not matched:
        raise VersionError(f"VERSION is {version!r}; a release needs three numbers, for example 1.2.3")
    major, minor, patch = (int(part) for part in matched.groups())
    return major, minor, patch


def of_chart(root: Path) -> dict[str, str]:
    """The chart's `version` and `appVersion`."""
    return dict(IN_CHART.findall((root / CHART).read_text()))


def write(root: Path, version: str) -> None:
    """Writes it into pyproject.toml, the chart and the code.

    Raises:
        VersionError: it is not later than the current one, or a file has no line for it.
    """
    if parse(version) <= parse(current(root)):
        raise VersionError(f"VERSION is {version}, which is not later than {current(root)}")
    texts = {
        root / PYPROJECT: _substituted(root / PYPROJECT, IN_PYPROJECT, f'version = "{version}"', 1),
        root / CODE: _substituted(root / CODE, IN_CODE, f'RELEASE: Final = "{version}"', 1),
        root / CHART: _substituted(root / CHART, IN_CHART, rf'\1: "{version}"', 2),
    }
    for file, text in texts.items():
        file.write_text(text)


def _substituted(file: Path, pattern: re.Pattern[str], replacement: str, expected: int) -> str:
    text, count = pattern.subn(replacement, file.read_text())
    if count != expected:
        raise VersionError(f"{file} has {count} lines that match {pattern.pattern!r}; expected {expected}")
    return text
