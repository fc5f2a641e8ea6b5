import pytest
import torch

from headrace_trainer.network.fpn import Fpn

CHANNELS = {1: 4, 2: 8, 3: 8, 4: 16, 5: 16}


def make_maps(size: tuple[int, int]) -> dict[int, torch.Tensor]:
    return {level: torch.randn(2, c, *(-(-side // 2**level) for side in size)) for level, c in CHANNELS.items()}


@pytest.mark.parametrize("size", [(128, 128), (33, 70), (32, 32), (97, 161)], ids=str)
@pytest.mark.parametrize(("bottom", "top"), [(3, 7), (2, 5), (3, 4), (5, 5), (1, 6)])
def test_levels_are_halved_and_rounded_up(size: tuple[int, int], bottom: int, top: int) -> None:
    neck = Fpn(CHANNELS, 32, bottom, top)
    pyramid = neck(make_maps(size))
    assert list(pyramid) == list(neck.channels) == list(range(bottom, top + 1))
    for level, x in pyramid.items():
        assert x.shape == (2, 32, -(-size[0] // 2**level), -(-size[1] // 2**level))
        assert torch.isfinite(x).all()


def test_every_level_sees_all_levels_above_it() -> None:
    neck = Fpn(CHANNELS, 32, 3, 4)
    maps = {level: x.requires_grad_() for level, x in make_maps((64, 64)).items()}
    neck(maps)[3].sum().backward()
    assert [level for level, x in maps.items() if x.grad is not None] == [3, 4, 5]


def test_every_parameter_gets_a_gradient() -> None:
    neck = Fpn(CHANNELS, 32, 3, 7)
    sum(x.square().mul(torch.randn_like(x)).sum() for x in neck(make_maps((128, 128))).values()).backward()
    assert all(p.grad is not None and p.grad.any() for p in neck.parameters())


def test_a_bottom_level_that_the_backbone_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="no level 6; it has 1, 2, 3, 4, 5"):
        Fpn(CHANNELS, 32, 6, 7)
