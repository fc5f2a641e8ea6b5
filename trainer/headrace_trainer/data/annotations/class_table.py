"""A layer's class table: what its ids mean, and how they map to the contiguous indices that heads learn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from headrace_trainer.counted import counted
from headrace_trainer.data.problems import BadSampleError


@dataclass(frozen=True)
class ClassTable:
    """Classes in order of index, which is also the order of their ids in the layer's files."""

    names: tuple[str, ...]
    ids: tuple[int, ...]
    """The ids in the files; may have gaps, as COCO's do."""
    things: tuple[bool, ...] = field(default=())
    """For each class, whether it is countable ("isthing" in COCO panoptic). All are, if the files do not say."""

    def __post_init__(self) -> None:
        if not self.things:
            object.__setattr__(self, "things", (True,) * len(self.names))

    @classmethod
    def of(cls, names_by_id: Mapping[int, str], things_by_id: Mapping[int, bool] | None = None) -> "ClassTable":
        """A table in ascending order of id."""
        ids = tuple(sorted(names_by_id))
        things = things_by_id or {}
        return cls(tuple(names_by_id[i] for i in ids), ids, tuple(things.get(i, True) for i in ids))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, class_id: int) -> int:
        """Index of the class whose id in the files is `class_id`; raises BadSampleError, with the table size, if there is none."""
        try:
            return self._index_of[class_id]
        except KeyError:
            raise BadSampleError(f"class {class_id!r} is not in the class table, {self.described}") from None

    def of_one_name(self) -> tuple[int, int, str] | None:
        """The first two ids that share a name, and the name; None if all names differ."""
        first: dict[str, int] = {}
        for class_id, name in zip(self.ids, self.names, strict=True):
            if first.setdefault(name, class_id) != class_id:
                return first[name], class_id, name
        return None

    @property
    def described(self) -> str:
        """Size and range, for messages."""
        if not self.ids:
            return "which is empty"
        return f"which has {counted(len(self), 'classes')} with ids {self.ids[0]} to {self.ids[-1]}"

    @cached_property
    def _index_of(self) -> dict[int, int]:
        return {class_id: index for index, class_id in enumerate(self.ids)}
