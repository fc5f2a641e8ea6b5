from collections.abc import Callable

import pytest
import torch

from headrace_trainer.ops.layers import Float32Conv2d, Float32Linear, conv_norm, group_norm


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (24, 1), (40, 2), (56, 2), (64, 4), (256, 16), (512, 32), (2048, 32)])
def test_groups_divide_the_channels_and_hold_sixteen_or_more(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_stride_two_rounds_sizes_up() -> None:
    assert conv_norm(3, 8, 3, stride=2)(torch.zeros(2, 3, 5, 8)).shape == (2, 8, 3, 4)


@pytest.mark.parametrize(
    ("make_layer", "size"),
    [(lambda: Float32Conv2d(8, 4, 1), (2, 8, 5, 5)), (lambda: Float32Linear(8, 4), (2, 8))],
    ids=["convolution", "linear"],
)
def test_quantities_are_not_rounded_by_autocast(make_layer: Callable[[], torch.nn.Module], size: tuple[int, ...]) -> None:
    """In bfloat16 a log depth of 2 to 4 would have steps of a 64th."""
    layer, x = make_layer(), torch.randn(size)
    want = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
        assert (x @ x.mT).dtype == torch.bfloat16, "autocast is on again"
    assert found.dtype == torch.float32
    assert torch.equal(found, want)
