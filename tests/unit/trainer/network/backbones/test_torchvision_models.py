"""torchvision's architectures by level."""

import pytest
import torch
import torchvision

from headrace_api import model
from headrace_testing.host_sync import NoHostSync
from headrace_trainer.network.backbones.torchvision_models import FAMILIES, TorchvisionBackbone

SMALL = ("resnet18", "resnext50_32x4d", "convnext_tiny", "efficientnet_v2_s", "mobilenet_v3_small", "mobilenet_v3_large")
SMALL = (*SMALL, "regnet_x_400mf", "regnet_y_400mf", "swin_t", "swin_v2_t")
"""One of each kind; the tests run these on images."""

LEFT_OUT = ("fc.", "classifier.", "head.", "norm.")
"""Parts of checkpoints that come after the features."""


def lowest_level(name: str) -> int:
    return 2 if name.startswith(("convnext", "swin")) else 1


def test_the_contract_names_exactly_the_existing_backbones() -> None:
    assert set(model.TORCHVISION_BACKBONES) == set(FAMILIES)


@pytest.mark.parametrize("name", SMALL)
def test_level_i_has_stride_two_to_the_i_rounded_up(name: str) -> None:
    backbone = TorchvisionBackbone(name, top_level=5)
    assert list(backbone.channels) == list(range(lowest_level(name), 6))
    for size in [(64, 64), (33, 70), (97, 31), (1, 5)]:
        with torch.no_grad():
            features = backbone.eval()(torch.randn(2, 3, *size))
        assert list(features) == list(backbone.channels)
        for level, x in features.items():
            assert x.shape == (2, backbone.channels[level], -(-size[0] // 2**level), -(-size[1] // 2**level)), level
            assert torch.isfinite(x).all()


@pytest.mark.parametrize("name", ["resnet152", "wide_resnet50_2", "convnext_small", "efficientnet_v2_m", "regnet_x_8gf", "swin_s"])
def test_larger_models_have_the_same_levels_as_their_smaller_relatives(name: str) -> None:
    """Building one is enough: channels are looked up in features, whose sizes are checked."""
    assert list(TorchvisionBackbone(name, top_level=5).channels) == list(range(lowest_level(name), 6))


@pytest.mark.parametrize("name", SMALL)
def test_checkpoints_of_torchvision_fit_and_give_its_features(name: str) -> None:
    torch.manual_seed(0)
    whole, backbone = torchvision.models.get_model(name, weights=None).eval(), TorchvisionBackbone(name, top_level=5).eval()
    missing, unexpected = backbone.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    # In MobileNet and EfficientNet, the layer that widens the top belongs to the classifier.
    widening = f"features.{len(whole.features) - 1}." if name.startswith(("mobilenet", "efficientnet")) else "fc."
    assert all(key.startswith((*LEFT_OUT, widening)) for key in unexpected)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(_top_of(whole, images), backbone(images)[5], rtol=1e-4, atol=1e-4)


def _top_of(whole: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What torchvision's forward pass gives to its classifier."""
    name = type(whole).__name__
    if name == "ResNet":
        seen: list[torch.Tensor] = []
        whole.avgpool.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        whole(images)
        return seen[0]
    if name == "RegNet":
        return whole.trunk_output(whole.stem(images))
    if name in {"MobileNetV3", "EfficientNet"}:
        return whole.features[:-1](images)
    x = whole.features(images)
    x = x.permute(0, 3, 1, 2) if name == "SwinTransformer" else x
    return torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient_through_the_top(name: str) -> None:
    torch.manual_seed(0)
    backbone = TorchvisionBackbone(name, top_level=4).train()
    for parameter in backbone.parameters():  # residual branches that start at zero block gradients
        if parameter.ndim == 1 and not parameter.any():
            torch.nn.init.ones_(parameter)
    with NoHostSync():
        top = backbone(torch.randn(4, 3, 64, 64))[4]
        (top * torch.randn_like(top)).sum().backward()
    # A stage that stochastic depth dropped for every image gets zeros; none has no gradient.
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


def test_stages_above_the_top_level_do_not_exist() -> None:
    backbone = TorchvisionBackbone("resnet18", top_level=3)
    assert set(backbone(torch.zeros(1, 3, 64, 64))) == {1, 2, 3}
    assert not any(name.startswith(("layer3", "layer4", "fc")) for name, _ in backbone.named_parameters())


def test_residual_branches_start_at_zero() -> None:
    backbone = TorchvisionBackbone("resnet50", top_level=2)
    assert not backbone.get_parameter("layer1.0.bn3.weight").any()


@pytest.mark.parametrize(("name", "top_level"), [("resnet18", 6), ("resnet18", 0), ("convnext_tiny", 1)])
def test_a_missing_top_level_is_refused(name: str, top_level: int) -> None:
    with pytest.raises(ValueError, match=f"{name} has the levels {lowest_level(name)}, "):
        TorchvisionBackbone(name, top_level)


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_t"])
def test_the_right_and_bottom_edges_are_seen_if_sides_are_not_multiples_of_patches(name: str) -> None:
    backbone = TorchvisionBackbone(name, top_level=2).eval()
    image = torch.zeros(1, 3, 33, 35)
    with torch.no_grad():
        without = backbone(image)[2]
        image[:, :, 32, 34] = 5.0
        with_it = backbone(image)[2]
    assert (without - with_it)[0, :, -1, -1].abs().max() > 0.01
