"""Whether there is something to learn for each head, and something to score it by: known before the first iteration."""

from collections.abc import Callable, Mapping, Sequence

from headrace_api.dataset import Layer
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_trainer.counted import counted
from headrace_trainer.data.annotations import Annotation, KeypointList
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.splits.split import Split
from headrace_trainer.data.tables.reader import are_whole_numbers

_NAMED_CLASSES = 8
_OF_OBJECTS = frozenset({Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION, Task.QUADRILATERAL_DETECTION, Task.OBJECT_DETECTION})


def check_labels(head: HeadData, train: Split, val: Split, layers: Mapping[str, LayerData], say: Callable[[str], None]) -> None:
    """Refuse a head that nothing is labelled for; warn of lesser gaps."""
    name, layer = head.spec.name, head.layer
    if layer is None or head.spec.task.self_supervised:
        return
    labelled = train.labelled(head)
    if not labelled:
        taken_out = len(layers[layer].splits.get("train", {}).keys() & set(val.images))
        why = f": {taken_out} of its images were taken out of train because they are in a layer's 'val'" if taken_out else ""
        raise FatalError(
            Reason.BAD_DATASET,
            f"head '{name}': layer '{layer}' has no labelled image to train on{why}{train.problems.first_cause()}; give the layer "
            "a 'train' in its splits, with images that are in no layer's 'val'",
        )
    if not val.labelled(head):
        say(
            f"WARNING: head '{name}' will have no score: layer '{layer}' has no labelled image to score on; give the layer a 'val' "
            "in its splits"
        )
    if unseen := _unseen_classes(head, train, val):
        say(
            f"WARNING: head '{name}' is scored on {counted(len(unseen), 'classes')} that no image to train on has: {_named(unseen)}"
        )
    if head.spec.task in _OF_OBJECTS and not train.objects(head):
        say(
            f"WARNING: head '{name}' can learn only that nothing is there: none of the {labelled} labelled images to train on of "
            f"layer '{layer}' has an object"
        )
    elif head.spec.task is Task.KEYPOINT_DETECTION and not any(map(_has_keypoint, train.of(head).values())):
        say(f"WARNING: head '{name}' can learn boxes only: no object to train on of layer '{layer}' has a labelled keypoint")


def check_order(head: HeadData, layer: Layer, say: Callable[[str], None]) -> None:
    """Warn of an ordinal head whose steps nobody put in order: "high, low, middle" is no scale."""
    options = head.spec.multiclass_classification
    if options is None or not options.ordinal or layer.classes is not None or are_whole_numbers(head.labels.classes):
        return
    say(
        f"WARNING: head '{head.spec.name}' is ordinal, and layer '{layer.name}' has no 'classes' in dataset.json: the steps are in "
        f"alphabetical order ({_named(head.labels.classes)}); give the layer its 'classes' in the order of the scale"
    )


def _named(classes: Sequence[str]) -> str:
    return ", ".join(classes[:_NAMED_CLASSES]) + (", …" if len(classes) > _NAMED_CLASSES else "")


def _unseen_classes(head: HeadData, train: Split, val: Split) -> list[str]:
    """Classes of val that train does not have. That is nothing to say of metric learning, whose identities are new by nature."""
    if head.spec.task is Task.METRIC_LEARNING:
        return []
    in_train, in_val = (
        {index for annotation in split.of(head).values() for index in annotation.class_indices()} for split in (train, val)
    )
    names = [head.layer_classes.names[index] for index in sorted(in_val - in_train)]
    return [name for name in names if name in head.labels.classes]


def _has_keypoint(annotation: Annotation) -> bool:
    assert isinstance(annotation, KeypointList), "what readers make of a layer of keypoints"
    return bool((annotation.visibility > 0).any())
