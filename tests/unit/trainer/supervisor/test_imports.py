"""The supervisor starts in well under a second because it imports so little."""

import subprocess
import sys


def test_neither_torch_nor_numpy_nor_the_s3_client_is_imported_to_start() -> None:
    code = "import sys, headrace_trainer.supervisor.command; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchvision", "numpy", "minio", "kubernetes"} & set(imported)


def test_the_stop_handler_needs_only_the_standard_library() -> None:
    code = "import sys, headrace_trainer.__main__; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "prometheus_client", "headrace_api"} & set(imported)
