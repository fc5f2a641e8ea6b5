"""Object keys become paths on disk: only such that stay inside the folder they are meant for."""

from pathlib import Path

from headrace_api.errors import FatalError
from headrace_api.names import Reason

_LONGEST_SEGMENT_BYTES = 255
"""What Linux file systems allow for one name."""


def path_for(root: Path, key: str) -> Path:
    """Where `key` (relative, "/" between segments) lies below `root`.

    Raises FatalError(BAD_DATASET) for a key that would lie elsewhere, or that two keys could share: one that is absolute, has `..`,
    `.` or empty segments, or holds what no file name can.
    """
    segments = key.split("/")
    if trouble := _trouble(segments):
        raise FatalError(
            Reason.BAD_DATASET,
            f"object key {key!r} {trouble}: it cannot become a file inside {root.name}/; rename or remove that object",
        )
    return root.joinpath(*segments)


def _trouble(segments: list[str]) -> str:
    """The first thing that is wrong, or ""."""
    troubles = {
        "starts with '/'": segments[0] == "" and len(segments) > 1,
        "has a '..' segment": ".." in segments,
        "has a '.' segment": "." in segments,
        "has an empty segment": "" in segments,
        "holds a NUL character": any("\0" in segment for segment in segments),
        "is not valid Unicode": any("\ud800" <= letter <= "\udfff" for segment in segments for letter in segment),
        f"has a segment of more than {_LONGEST_SEGMENT_BYTES} bytes": any(
            len(segment.encode(errors="surrogatepass")) > _LONGEST_SEGMENT_BYTES for segment in segments
        ),
    }
    return next((text for text, found in troubles.items() if found), "")


def refuse_symlinks(root: Path, path: Path) -> None:
    """Raise FatalError(BAD_DATASET) if `path`, which lies below `root`, or a folder on the way to it is a symbolic link."""
    for step in [path, *path.parents]:
        if step == root:
            return
        if step.is_symlink():
            raise FatalError(
                Reason.BAD_DATASET,
                f"'{step.relative_to(root)}' is a symbolic link, which may lead outside {root.name}/: put the file itself there",
            )
