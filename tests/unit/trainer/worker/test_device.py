import platform
from pathlib import Path

import pytest
import torch

from headrace_api.errors import RetryableError
from headrace_api.names import Reason
from headrace_api.run import Machine
from headrace_trainer.worker.device import choose_device, machine


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes torch find no GPU, on any machine."""

    def init() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease install one.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)


@pytest.mark.usefixtures("without_cuda")
def test_a_job_without_gpus_trains_on_the_cpu_without_a_message(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "nvidiactl").touch()
    assert choose_device(0, said.append, tmp_path / "nvidiactl") == torch.device("cpu")
    assert said == []


@pytest.mark.usefixtures("without_cuda")
def test_a_machine_without_a_gpu_trains_on_the_cpu_and_says_why(tmp_path: Path) -> None:
    said: list[str] = []
    assert choose_device(1, said.append, tmp_path / "nvidiactl") == torch.device("cpu")
    (line,) = said
    assert line.startswith("WARNING: ")
    assert "trains on the CPU" in line
    assert "Found no NVIDIA driver on your system. Please install one." in line


@pytest.mark.usefixtures("without_cuda")
def test_a_gpu_that_exists_but_does_not_work_allows_another_attempt(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "nvidiactl").touch()
    with pytest.raises(RetryableError, match="Found no NVIDIA driver on your system") as caught:
        choose_device(1, said.append, tmp_path / "nvidiactl")
    assert caught.value.reason is Reason.TRAINER_CRASHED
    assert said == []


def test_a_gpu_that_works_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(1, said.append, tmp_path / "nvidiactl") == torch.device("cuda", 0)
    assert said == []


def test_a_cpu_is_named_as_the_kernel_names_it(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Example CPU: 8 cores\n\nprocessor\t: 1\n")
    found = machine(torch.device("cpu"), tmp_path / "cpuinfo")
    assert found == Machine(torch=torch.__version__, device="Example CPU: 8 cores")


@pytest.mark.parametrize("content", [None, "processor\t: 0\nCPU part\t: 0xd0c\n"])
def test_a_cpu_without_a_name_has_its_architecture(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    assert machine(torch.device("cpu"), tmp_path / "cpuinfo").device == platform.machine()
