"""Object keys become paths on disk, but only paths that stay inside their folder."""

from pathlib import Path

from headrace_api.errors import FatalError
from headrace_api.names import Reason

_LONGEST_SEGMENT_BYTES = 255
"""What Linux file systems allow for one name."""


def path_for(root: Path, key: str) -> Path:
    """The path of `key` (relative, "/" between segments) below `root`.

    Raises FatalError(BAD_DATASET) for a key whose path would be elsewhere, or could belong to two keys: one that is absolute, has
    `..`, `.` or empty segments, or has characters that no file name can have.
    """
    segments = key.split("/")
    if trouble := _trouble(segments):
        raise FatalError(
            Reason.BAD_DATASET,
            f"object key {key!r} {trouble}: it cannot become a file inside {root.name}/; rename or remove that object",
        )
    return root.joinpath(*segments)


def _trouble(segments: list[str]) -> str:
    """The first problem, or ""."""
    troubles = {
        "starts with '/'": segments[0] == "" and len(segments) > 1,
        "has a '..' segment": ".." in segments,
        "has a '.' segment": "." in segments,
        "has an empty segment": "" in segments,
        "contains a NUL character": any("\0" in segment for segment in segments),
        "is not valid Unicode": any("\ud800" <= letter <= "\udfff" for segment in segments for letter in segment),
        f"has a segment of more than {_LONGEST_SEGMENT_BYTES} bytes": any(
            len(segment.encode(errors="surrogatepass")) > _LONGEST_SEGMENT_BYTES for segment in segments
        ),
    }
    return next((text for text, found in troubles.items() if found), "")


def refuse_symlinks(root: Path, path: Path, blamed: Reason = Reason.BAD_DATASET) -> None:
    """Raise FatalError(`blamed`) if `path`, which is below `root`, or a folder on the way to it is a symbolic link."""
    for step in [path, *path.parents]:
        if step == root:
            return
        if step.is_symlink():
            what = "folder" if step.is_dir() else "file"
            raise FatalError(
                blamed,
                f"'{step.relative_to(root)}' is a symbolic link that may lead outside {root.name}/: replace it with its {what}",
            )
