"""Checks before the first iteration that each head has something to learn from and something to be scored on."""

from collections.abc import Callable

from headrace_api.dataset import Layer
from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason
from headrace_trainer.counted import counted
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.splits.split import Split
from headrace_trainer.tasks import describe

_NAMED = 8


def check_labels(head: HeadData, layer: Layer, data: LayerData, train: Split, val: Split, *, say: Callable[[str], None]) -> None:
    """Refuse a head if its layer, read into `data`, has no label to train on; warn about lesser gaps."""
    name = head.spec.name
    if head.spec.task.self_supervised:
        return
    labelled = train.labelled(head)
    if not labelled:
        taken_out = len(data.splits.get("train", {}).keys() & set(val.images))
        why = f": {taken_out} of its images were taken out of train because they are in a layer's 'val'" if taken_out else ""
        raise FatalError(
            Reason.BAD_DATASET,
            f"head '{name}': layer '{layer.name}' has no labelled image to train on{why}{train.problems.first_cause()}; give the "
            "layer a 'train' in its splits, with images that are not in any layer's 'val'",
        )
    if not val.labelled(head):
        say(
            f"WARNING: head '{name}' will have no score: layer '{layer.name}' has no labelled image to score on; give the layer a "
            "'val' in its splits"
        )
    if unseen := _unseen_classes(head, train, val):
        classes = counted(len(unseen), "classes")
        say(f"WARNING: head '{name}' is scored on {classes} that no training image has: {first_few(unseen, _NAMED)}")
    description = describe(head.spec.task)
    if description.counted is not None and description.counted.negatives and not train.objects(head):
        say(
            f"WARNING: head '{name}' can learn only that nothing is there: none of the {labelled} labelled training images of "
            f"layer '{layer.name}' has an object"
        )
    for warning in description.warnings(head.spec.options, layer, head.labels, [*train.of(head).values()]):
        say(f"WARNING: head '{name}' {warning}")


def _unseen_classes(head: HeadData, train: Split, val: Split) -> list[str]:
    """Classes in val but not in train, unless they are meant to be new."""
    if describe(head.spec.task).new_classes_in_val:
        return []
    in_train, in_val = (
        {index for annotation in split.of(head).values() for index in annotation.class_indices()} for split in (train, val)
    )
    names = [head.layer_classes.names[index] for index in sorted(in_val - in_train)]
    return [name for name in names if name in head.labels.classes]
