"""A head from the data's side: the layer it learns from, the conversions, and what its numbers mean."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace_api.errors import FatalError
from headrace_api.heads import Head
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.head_labels.convert import classes_along
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.resolve import ResolvedHead
from headrace_trainer.tasks import describe


@dataclass(frozen=True)
class HeadData:
    """A head, and how it gets its labels."""

    spec: Head
    layer: str | None
    """None for a self-supervised head that names none."""
    layer_classes: ClassTable
    path: tuple[Task, ...]
    """From the layer's task to the head's; one entry if nothing is converted."""
    labels: LabelSpace
    """What its numbers mean. Its classes are those of the layer that conversions keep."""

    @property
    def reads_annotations(self) -> bool:
        """Whether annotations are opened for it: not for a self-supervised head whose layer has nothing to score it with."""
        return self.layer is not None and not (self.spec.task.self_supervised and not self.labels.classes)


def head_data(head: ResolvedHead, layer: LayerData | None, train: Mapping[str, Annotation]) -> HeadData:
    """A head with its label space; `train` holds its layer's annotations of the images to train on.

    Raises FatalError(BAD_DATASET) if its task has an obstacle to learning from these.
    """
    if head.layer is None or layer is None:
        return HeadData(head.spec, None, ClassTable((), ()), head.path, LabelSpace())
    description = describe(head.spec.task)
    if (obstacle := description.obstacle(layer, train)) is not None:
        raise FatalError(Reason.BAD_DATASET, f"head '{head.spec.name}': layer '{head.layer.name}': {obstacle}")
    kept = classes_along(head.path, layer.classes)
    labels = description.label_space(LabelSpace(classes=kept.names, things=kept.things), layer, train)
    return HeadData(head.spec, head.layer.name, layer.classes, head.path, labels)
