"""The files of a dataset without dataset.json: their names, and a look into some of them."""

import posixpath
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from headrace_api.dataset import Layer, Manifest, Part
from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason
from headrace_trainer.data.files import is_image

_NAMED = 4
_PEEK_BYTES = 1 << 20
_SPLIT_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"train(ing)?\d*"), "train"),
    (re.compile(r"(val|valid|validation|dev)\d*"), "val"),
    (re.compile(r"test(ing)?\d*"), "test"),
)


@dataclass(frozen=True)
class Listing:
    """A dataset's files. Those that recognition reads must exist; images need not."""

    root: Path
    names: frozenset[str]
    """Paths from the root; hidden files are left out."""

    @classmethod
    def of(cls, root: Path, names: Iterable[str]) -> "Listing":
        """A listing without hidden files."""
        return cls(root, frozenset(name for name in names if not any(part.startswith(".") for part in name.split("/"))))

    @cached_property
    def images(self) -> tuple[str, ...]:
        """All image files, sorted, including masks and depth maps."""
        return tuple(sorted(name for name in self.names if is_image(name)))

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder with a file below it; "" is the root."""
        found = {""}
        for name in self.names:
            folder = posixpath.dirname(name)
            while folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return frozenset(found)

    def ending(self, *suffixes: str, deepest: int = 3) -> list[str]:
        """Files with one of these suffixes, at most `deepest` folders deep, sorted."""
        return sorted(name for name in self.names if name.lower().endswith(suffixes) and name.count("/") <= deepest)

    def below(self, folder: str) -> list[str]:
        """Every file below `folder`, sorted."""
        return sorted(name for name in self.names if not folder or name.startswith(f"{folder}/"))

    def text(self, name: str) -> str:
        """A small text file; bytes that are not UTF-8 are replaced."""
        return (self.root / name).read_text("utf-8-sig", "replace")

    def peek(self, name: str) -> str:
        """The beginning and the end of a file, up to a MiB each."""
        with (self.root / name).open("rb") as file:
            begin = file.read(_PEEK_BYTES)
            size = file.seek(0, 2)
            file.seek(max(size - _PEEK_BYTES, len(begin)))
            return (begin + b"\n" + file.read()).decode("utf-8-sig", "replace")


@dataclass(frozen=True)
class Layout:
    """A way to read a dataset, suggested by its files."""

    kind: str
    """In words: "COCO's JSON"."""
    seen: tuple[str, ...]
    """The files or folders that suggest it."""
    layers: tuple[Layer, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What is left out, for the log."""

    @property
    def described(self) -> str:
        """ "COCO's JSON (annotations/instances_train.json)"."""
        return f"{self.kind} ({named(self.seen)})"


def split_in(words: Iterable[str]) -> str | None:
    """ "train", "val" or "test" if a word says so: the last one that does."""
    for word in reversed(list(words)):
        for pattern, split in _SPLIT_WORDS:
            if pattern.fullmatch(word.lower()):
                return split
    return None


def words_of(text: str) -> list[str]:
    """The parts of a name between "_", "-", "." and spaces."""
    return [word for word in re.split(r"[_\-. ]+", text) if word]


def splits_from(found: dict[str, str]) -> dict[Part, str]:
    """A layer's splits from what there is for "train", "val", "test" and "all". Without both "train" and
    "val", the first of "all", "train", "val" and "test" that exists is divided."""
    if "val" in found and "train" in found:
        return {"train": found["train"], "val": found["val"]}
    return {"all": found.get("all") or found.get("train") or found.get("val") or found["test"]}


def left_out(found: dict[str, str]) -> list[str]:
    """Notes on what `splits_from` does not use."""
    used = set(splits_from(found).values())
    return [f"not used: {place}" for place in found.values() if place not in used]


def named(names: Collection[str]) -> str:
    """Some of the names."""
    return first_few(sorted(names), _NAMED)


class UnclearError(FatalError):
    """A dataset without dataset.json is ambiguous: `seen` says what suggests which reading, or what prevents one."""

    suggestion: Manifest | None = None
    """A dataset.json for the unambiguous parts, if there are any."""
    notes: tuple[str, ...] = ()
    """What to change in the suggestion."""

    def __init__(self, *seen: str) -> None:
        self.seen = seen
        several = "its files can be read in several ways" if len(seen) > 1 else "its files cannot be read for certain"
        self.finding = f"no dataset.json at the dataset's root, and {several}: {'; '.join(seen)}. "
        super().__init__(
            Reason.BAD_DATASET,
            f"{self.finding}Write a dataset.json that says what to read: docs/datasets.md has examples, and `headrace dataset "
            "check` suggests one if it can",
        )

    def to_the_checker(self) -> str:
        """The message for someone who sees the suggestion, if there is one."""
        wanted = "edit the one suggested here to say" if self.suggestion is not None else "write a dataset.json that says"
        return f"{self.finding}To train, {wanted} what to read; docs/datasets.md has examples"
