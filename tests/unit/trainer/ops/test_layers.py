from collections.abc import Callable

import pytest
import torch

from headrace_trainer.ops.layers import Float32Conv2d, Float32Linear, conv_norm, group_norm


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (24, 1), (40, 2), (56, 2), (64, 4), (256, 16), (512, 32), (2048, 32)])
def test_groups_divide_the_channels_and_hold_sixteen_or_more(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_stride_two_rounds_sizes_up() -> None:
    assert conv_norm(3, 8, 3, stride=2)(torch.zeros(2, 3, 5, 8)).shape == (2, 8, 3, 4)


@pytest.mark.parametrize("height", [1, 3])
def test_weights_with_stride_two_learn_from_maps_of_one_column(height: int) -> None:
    """PyTorch's own convolution does not, in bfloat16 on a CPU: if a weight meets only padding, its gradient is whatever
    was in memory before, here NaN."""
    layer = conv_norm(16, 16, 3, stride=2).to(memory_format=torch.channels_last)
    for _ in range(10):
        layer.zero_grad()
        before = [torch.full((16, 16, 3, 3), torch.nan, dtype=dtype) for dtype in (torch.float32, torch.bfloat16) for _ in range(6)]
        del before
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(torch.randn(2, 16, height, 1).contiguous(memory_format=torch.channels_last))
        found.float().square().sum().backward()
        gradient = layer[0].weight.grad
        assert gradient[..., 1].abs().sum() > 0
        assert gradient[..., [0, 2]].abs().sum() == 0, "there is padding left and right of the column"


@pytest.mark.parametrize(
    ("make_layer", "size"),
    [(lambda: Float32Conv2d(8, 4, 1), (2, 8, 5, 5)), (lambda: Float32Linear(8, 4), (2, 8))],
    ids=["convolution", "linear"],
)
def test_quantities_are_not_rounded_by_autocast(make_layer: Callable[[], torch.nn.Module], size: tuple[int, ...]) -> None:
    """In bfloat16 a log depth of 2 to 4 would have steps of 1/64."""
    layer, x = make_layer(), torch.randn(size)
    want = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
        assert (x @ x.mT).dtype == torch.bfloat16, "autocast must be on again"
    assert found.dtype == torch.float32
    assert torch.equal(found, want)
