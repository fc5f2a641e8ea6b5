"""A head as its data sees it."""

from dataclasses import dataclass

from headrace_api import model
from headrace_api.tasks import Task
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.label_space import LabelSpace


@dataclass(frozen=True)
class HeadData:
    """A head, and how it gets its labels."""

    spec: model.Head
    layer: str | None
    """None: a self-supervised head that names none."""
    layer_classes: ClassTable
    path: tuple[Task, ...]
    """From the layer's task to the head's; one entry where nothing is converted."""
    labels: LabelSpace
    """What its numbers mean. Its classes are those of the layer as far as the conversions keep them."""

    @property
    def reads_annotations(self) -> bool:
        """Whether annotations are opened for it: not for a self-supervised head whose layer has nothing to score it by."""
        return self.layer is not None and not (self.spec.task.self_supervised and not self.labels.classes)
