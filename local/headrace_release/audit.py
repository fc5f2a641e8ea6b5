"""Finds known vulnerabilities of the locked packages, with pip-audit.

It reports how many packages it could look up: if it could not look up any, the result is not a clean bill of health.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
    *("--require-hashes", "--disable-pip", "--requirement", "requirements.lock"),
)
"""Runs pip-audit on the whole lock file. It installs nothing, because it only needs names and versions."""


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    looked_up: int
    skipped: int
    """Packages that it could not look up."""
    vulnerable: tuple[str, ...]
    """One line each: package, version, and its vulnerabilities with the versions that fix them."""
    obstacle: str = ""
    """Why nothing could be looked up."""

    @property
    def words(self) -> str:
        """The result as a person reads it."""
        if not self.looked_up:
            reason = self.obstacle or f"it answered for none of {self.skipped} packages"
            return f"NOT AUDITED: no answer from the vulnerability database ({reason}). hint: run python -m pip_audit elsewhere"
        found = f"{len(self.vulnerable)} with known vulnerabilities" if self.vulnerable else "none with a known vulnerability"
        return f"{self.looked_up} packages looked up, {found}" + (
            f"; {self.skipped} could not be looked up" if self.skipped else ""
        )


def audit(output: Path) -> Audit:
    """Runs pip-audit, saves its output in `output`, and reads it."""
    ended = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    try:
        result = read(ended.stdout)
    except ValueError:
        return Audit(0, 0, (), (ended.stderr.strip().splitlines() or ["pip-audit printed nothing"])[-1])
    output.write_text(ended.stdout)
    return result


def read(text: str) -> Audit:
    """Reads pip-audit's JSON.

    Raises:
        ValueError: it is not JSON.
    """
    packages = json.loads(text)["dependencies"]
    looked_up = [package for package in packages if "skip_reason" not in package]
    lines = []
    for package in looked_up:
        known = [f"{one['id']} (fixed in {', '.join(one['fix_versions']) or 'no version yet'})" for one in package["vulns"]]
        if known:
            lines.append(f"{package['name']} {package['version']}: {'; '.join(known)}")
    return Audit(len(looked_up), len(packages) - len(looked_up), tuple(lines))
