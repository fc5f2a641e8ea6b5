from typing import Any

import pytest
import torch

from headrace_api import model
from headrace_api.errors import FatalError
from headrace_api.heads import Head
from headrace_api.names import Reason
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import (
    HeadPlan,
    Network,
    build_network,
    check_batch_normalisation,
    check_views,
    head_of,
    prefix_of_head,
)

LABELS = LabelSpace(classes=("cat", "dog"))


def build(heads: dict[str, dict[str, Any]], **parts: Any) -> Network:
    """A ResNet-18 network with the named heads, on `backbone` and `neck` if given."""
    spec = model.Network.model_validate(
        {
            "backbone": {"name": "resnet18", **parts.get("backbone", {})},
            "neck": parts.get("neck"),
            "heads": [{"name": name, "annotations": "things", **task} for name, task in heads.items()],
        }
    )
    torch.manual_seed(0)
    return build_network(spec, [HeadPlan(head, parts.get("labels", LABELS)) for head in spec.heads])


ALL_HEADS: dict[str, dict[str, Any]] = {
    "boxes": {"objectDetection": {}},
    "regions": {"semanticSegmentation": {}},
    "tags": {"multilabelClassification": {}},
    "scene": {"multiclassClassification": {}},
    "small-boxes": {"objectDetection": {"bottomLevel": 3, "topLevel": 4}},
}


@pytest.mark.parametrize("size", [(64, 64), (33, 70)], ids=str)
def test_several_heads_and_several_of_one_type_predict_together(size: tuple[int, int]) -> None:
    network = build(ALL_HEADS, neck={"fpn": {"channels": 32}, "bottomLevel": 3, "topLevel": 6})
    outputs = network(torch.randn(2, 3, *size))
    assert list(outputs) == list(network.heads) == list(ALL_HEADS)
    assert set(network.features(torch.randn(2, 3, *size))) == {3, 4, 5, 6}


def test_heads_may_have_the_name_of_anything_in_torch() -> None:
    """Columns of numbers become a layer called "values", and its head gets the same name."""
    names = [name for name in dir(torch.nn.ModuleDict()) if name.isalpha()] + ["values-head", "head", "backbone", "neck"]
    assert {"values", "type", "train", "keys"} < set(names)
    network = build({name: {"multilabelClassification": {}} for name in names}, backbone={"topLevel": 3})
    assert list(network(torch.randn(2, 3, 32, 32))) == list(network.heads) == names
    parameters = {name for name, _ in network.named_parameters()}
    assert {head_of(name) for name in parameters} == {None, *names}
    for name in names:
        assert {one for one in parameters if head_of(one) == name} == {
            prefix_of_head(name) + inner for inner, _ in network.heads[name].named_parameters()
        }


def test_the_same_seed_gives_the_same_weights() -> None:
    neck = {"fpn": {"channels": 16}, "bottomLevel": 3, "topLevel": 5}
    one, two = build(ALL_HEADS, neck=neck).state_dict(), build(ALL_HEADS, neck=neck).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("neck", "options", "levels"),
    [
        (None, {}, (3, 4, 5)),
        (None, {"bottomLevel": 2}, (2, 3, 4, 5)),
        (None, {"topLevel": 2}, (2,)),
        ({"fpn": {"channels": 16}, "bottomLevel": 2, "topLevel": 6}, {}, (2, 3, 4, 5, 6)),
        ({"fpn": {"channels": 16}, "bottomLevel": 2, "topLevel": 6}, {"bottomLevel": 4}, (4, 5, 6)),
    ],
)
@pytest.mark.parametrize("task", ["objectDetection", "semanticSegmentation"])
def test_default_levels(task: str, neck: dict[str, Any] | None, options: dict[str, int], levels: tuple[int, ...]) -> None:
    network = build({"head": {task: options}}, neck=neck)
    assert network.heads["head"].levels == levels
    network(torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize("task", ["multilabelClassification", "multiclassClassification"])
def test_single_level_heads_use_the_highest_level_by_default(task: str) -> None:
    assert build({"head": {task: {}}}, neck={"fpn": {"channels": 16}, "topLevel": 7}).heads["head"].levels == (7,)
    assert build({"head": {task: {"level": 4}}}).heads["head"].levels == (4,)


def test_a_shallow_backbone_without_neck_gives_the_levels_it_has() -> None:
    network = build({"head": {"objectDetection": {}}}, backbone={"topLevel": 2})
    assert network.heads["head"].levels == (2,)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ({"objectDetection": {"topLevel": 8}}, "there is no level 8"),
        ({"objectDetection": {"bottomLevel": 6}}, "there is no level 6"),
        ({"semanticSegmentation": {"bottomLevel": 2}}, "there is no level 2"),
        ({"multilabelClassification": {"level": 1}}, "there is no level 1"),
    ],
)
def test_a_missing_level_is_refused_with_the_heads_name(head: dict[str, Any], problem: str) -> None:
    with pytest.raises(FatalError) as raised:
        build({"boxes": head}, neck={"fpn": {"channels": 16}, "bottomLevel": 3, "topLevel": 5})
    assert raised.value.reason is Reason.BAD_MODEL
    assert raised.value.message == f"head 'boxes': {problem}; there are the levels 3, 4, 5"


def test_a_head_without_classes_is_refused() -> None:
    with pytest.raises(FatalError, match="head 'boxes': object detection has no classes to learn"):
        build({"boxes": {"objectDetection": {}}}, labels=LabelSpace())


@pytest.mark.parametrize(
    ("batch_size", "height", "width", "backbone", "trains"),
    [
        (1, 32, 32, {}, False),
        (2, 32, 32, {}, True),
        (1, 32, 33, {}, True),
        (1, 33, 32, {}, True),
        (1, 32, 32, {"topLevel": 4}, True),
        (1, 32, 32, {"frozenLevels": 5}, True),
        (1, 32, 32, {"frozenLevels": 4}, False),
        (1, 32, 32, {"name": "convnext_tiny"}, True),
    ],
)
def test_batches_refused_for_batch_normalisation_cannot_train(
    batch_size: int, height: int, width: int, backbone: dict[str, Any], trains: bool
) -> None:
    network = build({}, backbone=backbone)
    images = torch.randn(batch_size, 3, height, width)
    if trains:
        check_batch_normalisation(network.backbone, batch_size, height, width)
        network.features(images)
    else:
        with pytest.raises(FatalError, match=r"level 5 .* raise batchSize or imageSize, or lower backbone\.topLevel") as caught:
            check_batch_normalisation(network.backbone, batch_size, height, width)
        assert caught.value.reason is Reason.BAD_MODEL
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            network.features(images)


def test_view_invariance_wants_another_image_in_the_batch() -> None:
    heads = [Head(name="boxes", annotations="a", object_detection={}), Head(name="views", view_invariance={})]
    check_views(heads, 2)
    check_views(heads[:1], 1)
    with pytest.raises(FatalError, match=r"head 'views': view invariance .* batchSize is 1; raise it") as caught:
        check_views(heads, 1)
    assert caught.value.reason is Reason.BAD_MODEL


@pytest.mark.parametrize("backbone", ["convnext_tiny", "swin_t"])
def test_neck_and_heads_know_that_a_backbone_has_no_level_1(backbone: str) -> None:
    with pytest.raises(FatalError, match="the backbone has the levels 2, 3, 4, 5"):
        build({"boxes": {"objectDetection": {}}}, backbone={"name": backbone}, neck={"fpn": {}, "bottomLevel": 1})
    with pytest.raises(FatalError, match="there is no level 1; there are the levels 2, 3, 4, 5"):
        build({"boxes": {"objectDetection": {"bottomLevel": 1}}}, backbone={"name": backbone})


@pytest.mark.parametrize("neck", [{"biFpn": {"channels": 32}}, {"hybridEncoder": {"channels": 32}}])
@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "convnext_tiny"])
def test_other_backbones_and_necks_carry_heads(backbone: str, neck: dict[str, Any]) -> None:
    network = build(ALL_HEADS, backbone={"name": backbone}, neck={**neck, "bottomLevel": 3, "topLevel": 6})
    outputs = network(torch.randn(2, 3, 97, 64))
    assert list(outputs) == list(ALL_HEADS)
