"""Data that a reader does not expect is still a bad dataset, and the machine's faults are not."""

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_trainer.check.dataset import check_dataset
from headrace_trainer.data.formats import registry as layers
from headrace_trainer.data.problems import BadSampleError


def folder_whose_reader_raises(root: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> DatasetFolder:
    def read(*_: object) -> NoReturn:
        raise error

    monkeypatch.setitem(layers.READERS, "coco", read)
    folder = DatasetFolder(root).image("images/a.png").image("images/v.png")
    folder.json("train.json", coco(["a.png"])).json("val.json", coco(["v.png"]))
    return folder.layer("things", "object-detection", "coco", {"train": "train.json", "val": "val.json"})


@pytest.mark.parametrize(
    "error",
    [
        *(KeyError("id"), IndexError("id"), TypeError("id"), ValueError("id"), AttributeError("id"), OverflowError("id")),
        *(RecursionError("id"), BadSampleError("id"), FileNotFoundError(errno.ENOENT, "id")),
    ],
)
def test_an_unexpected_error_in_a_reader_is_a_bad_dataset(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_whose_reader_raises(tmp_path, error, monkeypatch)
    with pytest.raises(FatalError) as caught:
        folder.open(max_bad_images=100)
    assert caught.value.reason is Reason.BAD_DATASET
    start = f"layer 'things': its annotations (train.json, val.json) cannot be understood: {type(error).__name__}: "
    assert caught.value.message == f"{start}{error}"
    assert caught.value.__cause__ is error, "the cause must show where it failed"
    assert check_dataset(folder.root, "dataset", decode=False).problems == [caught.value.message]


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "broken"), FatalError(Reason.BAD_DATASET, "said better")])
def test_the_machines_faults_and_known_errors_are_not_changed(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error)) as caught:
        folder_whose_reader_raises(tmp_path, error, monkeypatch).open()
    assert caught.value is error
