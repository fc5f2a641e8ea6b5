"""Completion of `kubectl headrace ...`: kubectl runs a program named kubectl_complete-headrace for it.

https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#enabling-plugin-autocompletion
"""

import os
import subprocess
import sys

_DIRECTIVE = ":0"
"""Cobra's directive after the candidates. 0: the shell completes file names if there are no candidates."""


def main() -> None:
    """Prints the candidates for the last argument, one per line, then the directive."""
    words = ["headrace", *sys.argv[1:]]
    asked = {
        "_HEADRACE_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    # Typer has no public function for completion. Its shell scripts run the command with these variables.
    done = subprocess.run(
        [sys.executable, "-c", "from headrace_cli.__main__ import app; app(prog_name='headrace')"],
        env=os.environ | asked, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    print(*filter(None, done.stdout.splitlines()), _DIRECTIVE, sep="\n")
