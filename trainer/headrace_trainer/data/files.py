"""Finds a dataset's files, never one outside its root.

Paths in dataset.json and in annotation files are not trusted: absolute ones and those with `..` are refused. Links in a local
folder are followed; a pulled dataset has none.

A file's name is its path from the dataset's root, a string with `/`. (Strings, not Path objects: listing a hundred thousand files
takes a tenth of the time.)
"""

import itertools
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason
from headrace_trainer.data.problems import BadSampleError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
NAMED_OF_A_FOLDER = 8
"""How many entries a message names when it says what is in a folder."""

_WORDS = re.compile(r"[^\W_]+")


class DatasetFiles:
    """A dataset's root, and an index of its images. Image files in the folders `maps` are masks or depth maps, not images."""

    def __init__(self, root: Path, images: str, maps: Iterable[str] = ()) -> None:
        self.root = root
        self.image_folder = self.folder(images, "dataset.json: images")
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._maps = tuple(posixpath.normpath(folder) + "/" for folder in maps)
        for name in self.walk(self.image_folder):
            if self._may_be_image(name):
                self._by_stem[_stem(name)].append(name)
        if not self._by_stem:
            raise FatalError(Reason.BAD_DATASET, f"dataset.json: images: no image in '{images}'; {self.inside(self.image_folder)}")

    def images(self) -> Iterator[str]:
        """Every image in the images' folder."""
        return itertools.chain.from_iterable(self._by_stem.values())

    def path(self, name: str) -> Path:
        """The path of the file called `name`."""
        return self.root / name

    def folder(self, text: str, field: str) -> str:
        """The folder that `field` of dataset.json names; if it is missing, raises FatalError(BAD_DATASET)."""
        name = relative_path(text, field)
        return name if self.path(name).is_dir() else self._refuse(name, field, "a folder")

    def file(self, text: str, field: str) -> str:
        """The same for a file."""
        name = relative_path(text, field)
        return name if self.path(name).is_file() else self._refuse(name, field, "a file")

    def walk(self, folder: str) -> Iterator[str]:
        """Every file below `folder`, in no particular order, without hidden ones; follows links, but reads no folder twice."""
        return walk(self.root, folder)

    def inside(self, folder: str) -> str:
        """What is in a folder, for messages."""
        return contents(self.path(folder), "the dataset's root" if folder == "." else f"'{folder}'")

    def image_for(self, reference: str, field: str, hints: Sequence[str] = (), where_it_lies: str = ".") -> str:
        """Name of the image that an annotation refers to as `reference`: a path, with or without its suffix and folders.

        Of the images with that stem, it is the one that matches the most folders at the end of `reference`; among equals, the one
        in a folder named like one of `hints` (the split's name, for example), or with these words in its folders' names. If the
        images' folder has none, `reference` may be the path from the dataset's root, or a Windows path. `field` says where
        `reference` was found. `where_it_lies` is the annotation's own folder; as the start of `reference`, it says nothing about
        the image's folder.

        Raises BadSampleError if there is none or several, or the only one is in a different folder (`reference` is
        `frames/a/7.png`, but there is only `frames/b/7.png`, from another video); FatalError(BAD_DATASET) if `reference` leads out
        of the dataset.
        """
        wanted = relative_path(reference, field)
        candidates = self._by_stem.get(_stem(wanted)) or self._by_stem.get(posixpath.basename(wanted), [])
        if not candidates:
            if self._may_be_image(wanted) and self.path(wanted).is_file():
                return wanted
            if "\\" in reference:
                return self.image_for(reference.replace("\\", "/"), field, hints, where_it_lies)
            raise BadSampleError(f"no image '{reference}' in '{self.image_folder}'")
        tests: tuple[Callable[[str], int], ...] = (
            lambda name: _shared_folders(name, wanted),
            lambda name: len(set(hints).intersection(name.split("/")[:-1])),
            lambda name: int(posixpath.basename(name) == posixpath.basename(wanted)),
            lambda name: int(name == wanted),
            lambda name: len(set(hints).intersection(_WORDS.findall(posixpath.dirname(name)))),
        )
        for score in tests:
            if len(candidates) > 1:
                highest = max(map(score, candidates))
                candidates = [name for name in candidates if score(name) == highest]
        if len(candidates) > 1:
            raise BadSampleError(f"several images could be '{reference}': {first_few(sorted(candidates), 3)}")
        (found,) = candidates
        if self._elsewhere(found, wanted.removeprefix(posixpath.normpath(where_it_lies) + "/"), hints):
            raise BadSampleError(f"no image '{reference}' in '{self.image_folder}': '{found}' matches, but is in another folder")
        return found

    def _may_be_image(self, name: str) -> bool:
        return is_image(name) and not name.startswith(self._maps)

    def _elsewhere(self, name: str, wanted: str, hints: Sequence[str]) -> bool:
        """Whether both name folders, and these must differ: neither is within the other, and the image's is not the split's."""
        folder = posixpath.dirname(posixpath.relpath(name, self.image_folder))
        shared = _shared_folders(name, wanted)
        ours, theirs = (path.split("/")[: -shared or None] if path else [] for path in (folder, posixpath.dirname(wanted)))
        if not ours or not theirs or ours[-1] in theirs or theirs[-1] in ours:
            return False
        return not {ours[-1], *_WORDS.findall(ours[-1])}.intersection(hints)

    def _refuse(self, name: str, field: str, expected: str) -> str:
        parent = posixpath.dirname(name)
        while parent and not self.path(parent).is_dir():
            parent = posixpath.dirname(parent)
        raise FatalError(Reason.BAD_DATASET, f"{field}: expected {expected} at '{name}', found none; {self.inside(parent or '.')}")


def walk(root: Path, folder: str = ".") -> Iterator[str]:
    """Names of all files below `folder` of `root`, without hidden ones; follows links, but reads no folder twice."""
    seen: set[tuple[int, int]] = set()
    top = str(root / folder)
    for directory, subfolders, files in os.walk(top, followlinks=True):
        status = Path(directory).stat()
        if (key := (status.st_dev, status.st_ino)) in seen:
            subfolders.clear()
            continue
        seen.add(key)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        below = posixpath.normpath(posixpath.join(folder, os.path.relpath(directory, top)))
        prefix = "" if below == "." else below + "/"
        yield from (prefix + name for name in files if not name.startswith("."))


def relative_path(text: str, field: str) -> str:
    """`text` as a name; raises FatalError(BAD_DATASET) if it is absolute or has `..`."""
    if text.startswith("/") or "\0" in text or ".." in text.split("/"):
        raise FatalError(Reason.BAD_DATASET, f"{field}: '{text}' leads out of the dataset; expected a relative path without '..'")
    return posixpath.normpath(text)


def is_image(name: str) -> bool:
    """Whether a file is an image, judging by its suffix."""
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def contents(folder: Path, called: str) -> str:
    """What is in a folder, for messages."""
    entries = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    return f"{called} has: {first_few(entries, NAMED_OF_A_FOLDER)}" if entries else f"{called} is empty"


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def _shared_folders(name: str, wanted: str) -> int:
    """How many folders just above the two files have the same names."""
    shared = 0
    for ours, theirs in zip(name.split("/")[-2::-1], wanted.split("/")[-2::-1], strict=False):
        if ours != theirs:
            break
        shared += 1
    return shared
