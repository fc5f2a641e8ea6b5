import pytest
import torch
import torchvision

from headrace_trainer.network.resnet import ResNet


@pytest.mark.parametrize(("name", "channels"), [("resnet18", [64, 64, 128, 256, 512]), ("resnet50", [64, 256, 512, 1024, 2048])])
@pytest.mark.parametrize("size", [(64, 64), (33, 70)], ids=str)
def test_level_i_has_stride_two_to_the_i_rounded_up(name: str, channels: list[int], size: tuple[int, int]) -> None:
    backbone = ResNet(name, top_level=5)
    features = backbone(torch.zeros(2, 3, *size))
    assert backbone.channels == dict(enumerate(channels, start=1))
    for level, x in features.items():
        assert x.shape == (2, channels[level - 1], -(-size[0] // 2**level), -(-size[1] // 2**level))


def test_stages_above_the_top_level_do_not_exist() -> None:
    backbone = ResNet("resnet18", top_level=3)
    assert set(backbone(torch.zeros(1, 3, 64, 64))) == {1, 2, 3}
    assert not any(name.startswith(("layer3", "layer4", "fc")) for name, _ in backbone.named_parameters())


def test_features_are_torchvisions_for_the_same_weights() -> None:
    torch.manual_seed(0)
    whole, backbone = torchvision.models.resnet18(weights=None).eval(), ResNet("resnet18", top_level=5).eval()
    missing, unexpected = backbone.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    assert set(unexpected) == {"fc.weight", "fc.bias"}
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        pooled = backbone(image)[5].mean(dim=(2, 3))
        torch.testing.assert_close(whole.fc(pooled), whole(image))


def test_residual_branches_start_at_zero() -> None:
    backbone = ResNet("resnet50", top_level=2)
    assert not backbone.get_parameter("layer1.0.bn3.weight").any()


@pytest.mark.parametrize("top_level", [1, 6])
def test_a_top_level_that_a_resnet_does_not_have_is_refused(top_level: int) -> None:
    with pytest.raises(ValueError, match="2 to 5"):
        ResNet("resnet18", top_level)
