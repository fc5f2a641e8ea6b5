"""A real disk that is full, as each library that writes to it says so."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from headrace_api.errors import RetryableError
from headrace_api.names import Reason
from headrace_api.training import Training
from headrace_testing.kept_messages import KeptMessages
from headrace_testing.steps import small_training
from headrace_trainer.worker.checkpoint import CheckpointState, CheckpointWriter, tensor_files
from headrace_trainer.worker.full_disk import naming_a_full_disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "headrace-test", str(folder)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here, which needs root: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _write_bytes(path: Path) -> None:
    path.write_bytes(bytes(2 << 20))


def _save_tensors(path: Path) -> None:
    save_file({"one": torch.zeros(1 << 20)}, path)


@pytest.mark.parametrize("write", [_write_bytes, _save_tensors])
def test_it_is_recognised_whichever_library_writes(small_disk: Path, write: Callable[[Path], None]) -> None:
    said = r"to write a thing .*: raise spec\.resources\.workspace"
    with pytest.raises(RetryableError, match=said) as error, naming_a_full_disk("a thing"):
        write(small_disk / "thing")
    assert error.value.reason is Reason.DISK_FULL


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), naming_a_full_disk("a thing"):
        (tmp_path / "none" / "thing").write_bytes(b"")


def test_a_checkpoint_that_finds_no_room_leaves_nothing_behind(small_disk: Path) -> None:
    pipe, training = KeptMessages(), small_training()
    with contextlib.suppress(OSError):
        (small_disk / "ballast").write_bytes(bytes((1 << 20) - 8 * os.sysconf("SC_PAGE_SIZE")))
    state = CheckpointState(iteration=2, trained_seconds=1.0, best=None, labels={}, training=Training())
    with CheckpointWriter(small_disk, pipe) as writer:
        writer.save(tensor_files(training.network, training.averaged, training.optimizer), state, best=False)
        with pytest.raises(RetryableError, match="the checkpoint of iteration 2") as error:
            writer.wait()
    assert error.value.reason is Reason.DISK_FULL
    assert list((small_disk / "checkpoints").iterdir()) == []
    assert pipe.sent == []
