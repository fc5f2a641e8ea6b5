"""Annotations are read without torch, so that checking a dataset takes less than a second."""

import subprocess
import sys


def test_opening_a_dataset_imports_no_torch() -> None:
    program = "import sys, headrace_trainer.data.dataset, headrace_trainer.data.batches.sample; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
