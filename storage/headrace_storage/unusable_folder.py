"""Turns the system's errors about a folder that somebody named into words: what is wrong with it, and what would be right.

The folder of a workspace or a local output can be a file, be read-only, be a link to nowhere, or lie on a full disk. These are not
crashes: the first three need another folder, the last one needs room.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace_api.errors import FatalError, RetryableError
from headrace_api.names import Reason

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_WRONG_FOLDER = {
    errno.EEXIST: "it, or a folder above it, is a file",
    errno.ENOTDIR: "it, or a folder above it, is a file",
    errno.EISDIR: "it has a folder where a file belongs",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EROFS: "it is read-only",
    errno.ELOOP: "it is a link that leads back to itself",
    errno.ENAMETOOLONG: "its name is too long",
}


@contextmanager
def usable_folder(what: str, folder: Path) -> Iterator[None]:
    """For blocks that make, lock or write to `folder`, which is the `what` ("workspace") of the job.

    Raises FatalError(INVALID_SPEC) if it cannot serve as one, RetryableError(DISK_FULL) if its disk is full; other OSErrors pass.
    """
    refuse_dangling_link(what, folder)
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise RetryableError(Reason.DISK_FULL, f"no space is left in the {what} {folder} ({error})") from error
        if (trouble := _WRONG_FOLDER.get(error.errno or 0)) is not None:
            raise FatalError(Reason.INVALID_SPEC, f"the {what} {folder} cannot be used: {trouble} ({error})") from error
        raise


def refuse_dangling_link(what: str, folder: Path) -> None:
    """Raise FatalError(INVALID_SPEC) if `folder`, or a folder above it, is a link to something that does not exist."""
    for step in (folder, *folder.parents):
        if step.is_symlink() and not step.exists():
            target = step.readlink()
            raise FatalError(
                Reason.INVALID_SPEC, f"the {what} {folder} cannot be used: {step} is a link to {target}, which does not exist"
            )
