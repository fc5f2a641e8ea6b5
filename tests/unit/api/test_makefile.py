import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]


def test_help_lists_every_target_that_has_a_description() -> None:
    described = re.findall(r"^(\S+):.*## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    printed = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("  make ")] == described
    assert "e2e" in described
