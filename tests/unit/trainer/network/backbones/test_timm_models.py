"""timm's architectures by level. Most tests need the extra, which no lock file has: run `pip install timm`, then these again."""

import sys

import pytest
import torch

from headrace_api import model
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.network.backbones import build_backbone


def build(name: str, **options: int) -> torch.nn.Module:
    return build_backbone(model.Backbone.model_validate({"name": f"timm/{name}", **options}))


def refusal(name: str, **options: int) -> str:
    with pytest.raises(FatalError) as caught:
        build(name, **options)
    assert caught.value.reason is Reason.BAD_MODEL
    return caught.value.message


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install '.[timm]'" in refusal("resnet18")


@pytest.mark.parametrize(
    ("name", "lowest"), [("resnet18.a1_in1k", 1), ("convnext_atto", 2), ("tf_efficientnetv2_b0", 1), ("pvt_v2_b0", 2)]
)
def test_level_i_has_stride_two_to_the_i_rounded_up(name: str, lowest: int) -> None:
    backbone = build(name, topLevel=4)
    assert list(backbone.channels) == list(range(lowest, 5))
    for size in [(64, 64), (97, 31)]:
        features = backbone(torch.randn(2, 3, *size))
        for level, x in features.items():
            assert x.shape == (2, backbone.channels[level], -(-size[0] // 2**level), -(-size[1] // 2**level)), level
    sum((x * torch.randn_like(x)).sum() for x in features.values()).backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("name", "above", "below"),
    [
        ("convnext_atto", ("model.stages_2.", "model.stages_3."), "stages_1"),
        ("tf_efficientnetv2_b0", ("model.blocks.3.", "model.blocks.4.", "model.blocks.5."), "bn1"),
    ],
)
def test_levels_are_frozen(name: str, above: tuple[str, ...], below: str) -> None:
    backbone = build(name, frozenLevels=3).train()
    trained = {key for key, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert trained == {key for key, _ in backbone.named_parameters() if key.startswith(above)}
    assert trained
    assert not backbone.model.get_submodule(below).training


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_thing", "Unknown model"),
        ("vit_tiny_patch16_224", "which do not form levels"),
        ("swin_tiny_patch4_window7_224", "images of any size"),
    ],
)
def test_an_architecture_without_levels_is_refused(name: str, problem: str) -> None:
    assert problem in refusal(name)
