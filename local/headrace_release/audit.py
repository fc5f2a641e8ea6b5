"""Known vulnerabilities of the locked packages, by pip-audit.

It says how many it could look up: none at all is not a clean bill.
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
"""pip-audit of the whole lock. It installs nothing: names and versions are all that it needs."""


@dataclass(frozen=True)
class Audit:
    """What was found."""

    looked_up: int
    skipped: int
    """Packages that the database did not answer for."""
    vulnerable: tuple[str, ...]
    """A line each: package, version, and the vulnerabilities' names with the versions that mend them."""
    obstacle: str = ""
    """Why nothing could be looked up."""

    @property
    def words(self) -> str:
        """The result as a person reads it."""
        if not self.looked_up:
            reason = self.obstacle or f"it answered for none of {self.skipped} packages"
            return f"NOT AUDITED: the database of vulnerabilities was not reached ({reason}). hint: python -m pip_audit, elsewhere"
        found = f"{len(self.vulnerable)} with known vulnerabilities" if self.vulnerable else "none with a known vulnerability"
        return f"{self.looked_up} packages looked up, {found}" + (
            f"; {self.skipped} could not be looked up" if self.skipped else ""
        )


def audit(output: Path) -> Audit:
    """Runs pip-audit, keeps what it says in `output`, and reads it."""
    ended = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    try:
        result = read(ended.stdout)
    except ValueError:
        return Audit(0, 0, (), (ended.stderr.strip().splitlines() or ["it said nothing"])[-1])
    output.write_text(ended.stdout)
    return result


def read(text: str) -> Audit:
    """pip-audit's JSON.

    Raises:
        ValueError: it is none.
    """
    packages = json.loads(text)["dependencies"]
    looked_up = [package for package in packages if "skip_reason" not in package]
    lines = []
    for package in looked_up:
        known = [f"{one['id']} (mended in {', '.join(one['fix_versions']) or 'no version yet'})" for one in package["vulns"]]
        if known:
            lines.append(f"{package['name']} {package['version']}: {'; '.join(known)}")
    return Audit(len(looked_up), len(packages) - len(looked_up), tuple(lines))
