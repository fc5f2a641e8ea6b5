"""A folder that cannot be used is named, with what is wrong with it."""

import errno
import os
from pathlib import Path

import pytest

from headrace_api.errors import FatalError, RetryableError
from headrace_api.names import Reason
from headrace_storage.unusable_folder import usable_folder


def test_a_file_in_its_place_or_above_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        said = r"the workspace .*file.* cannot be used: it, or a folder above it, is a file"
        with pytest.raises(FatalError, match=said) as error, usable_folder("workspace", folder):
            folder.mkdir(parents=True, exist_ok=True)
        assert error.value.reason is Reason.INVALID_SPEC


def test_a_dangling_link_is_named_and_its_target_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    said = r"link is a link to .*gone, which does not exist"
    with pytest.raises(FatalError, match=said), usable_folder("output", tmp_path / "link" / "below"):
        pytest.fail("the block must not run")
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(("number", "said"), [(errno.EROFS, "it is read-only"), (errno.EACCES, "this user may not write there")])
def test_a_folder_that_nobody_may_write_to_is_named(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(FatalError, match=said), usable_folder("output", tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_full_disk_may_be_retried_and_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(RetryableError) as error, usable_folder("output", tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert error.value.reason is Reason.DISK_FULL
    with pytest.raises(OSError, match="Input/output error"), usable_folder("output", tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
