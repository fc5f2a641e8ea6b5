import pytest
import torch

from headrace_trainer.ops.layers import conv_norm, group_norm


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (24, 1), (40, 2), (56, 2), (64, 4), (256, 16), (512, 32), (2048, 32)])
def test_groups_divide_the_channels_and_hold_sixteen_or_more(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_stride_two_rounds_sizes_up() -> None:
    assert conv_norm(3, 8, 3, stride=2)(torch.zeros(2, 3, 5, 8)).shape == (2, 8, 3, 4)
