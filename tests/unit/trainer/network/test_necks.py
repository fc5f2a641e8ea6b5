"""What every neck must do, and what is special about each."""

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headrace_api import model
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.host_sync import NoHostSync
from headrace_trainer.network.necks import Neck, build_neck
from headrace_trainer.network.necks.bi_fpn import BiFpn
from headrace_trainer.network.necks.hybrid_encoder import position_code

CHANNELS = {1: 4, 2: 8, 3: 8, 4: 16, 5: 16}
KINDS = {
    "fpn": {"fpn": {"channels": 32}},
    "biFpn": {"biFpn": {"channels": 32, "repeats": 2}},
    "biFpn, one pass": {"biFpn": {"channels": 32, "repeats": 1}},
    "hybridEncoder": {"hybridEncoder": {"channels": 32, "repeats": 2}},
}
LEVELS = [(3, 7), (2, 5), (3, 4), (5, 5), (5, 6), (1, 6), (3, 3)]

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
each_range = pytest.mark.parametrize(("bottom", "top"), LEVELS)


def make_neck(kind: Mapping[str, object], bottom: int, top: int, channels: Mapping[int, int] = CHANNELS) -> Neck:
    torch.manual_seed(0)
    return build_neck(model.Neck.model_validate({**kind, "bottomLevel": bottom, "topLevel": top}), channels)


def make_maps(size: tuple[int, int], channels: Mapping[int, int] = CHANNELS, batch: int = 2) -> dict[int, Tensor]:
    return {level: torch.randn(batch, c, *(-(-side // 2**level) for side in size)) for level, c in channels.items()}


@each_kind
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_levels_are_halved_and_rounded_up(kind: dict[str, object], data: st.DataObject) -> None:
    """For any image size, any levels of the backbone and any levels requested."""
    lowest = data.draw(st.integers(1, 3), "lowest")
    channels = {level: CHANNELS[level] for level in range(lowest, data.draw(st.integers(lowest, 5), "highest") + 1)}
    bottom = data.draw(st.integers(lowest, max(channels)), "bottom")
    top = data.draw(st.integers(bottom, 8), "top")
    size = data.draw(st.tuples(st.integers(1, 140), st.integers(1, 140)), "size")
    neck = make_neck(kind, bottom, top, channels)
    with torch.no_grad():
        pyramid = neck(make_maps(size, channels))
    assert list(pyramid) == list(neck.channels) == list(range(bottom, top + 1))
    for level, x in pyramid.items():
        assert x.shape == (2, 32, -(-size[0] // 2**level), -(-size[1] // 2**level))
        assert torch.isfinite(x).all()


@each_kind
@each_range
def test_every_parameter_gets_a_gradient(kind: dict[str, object], bottom: int, top: int) -> None:
    neck = make_neck(kind, bottom, top)
    with NoHostSync():
        sum((x * torch.randn_like(x)).sum() for x in neck(make_maps((128, 128))).values()).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@each_kind
def test_the_lowest_level_sees_all_levels_above_it(kind: dict[str, object]) -> None:
    maps = {level: x.requires_grad_() for level, x in make_maps((64, 64)).items()}
    make_neck(kind, 3, 4)(maps)[3].sum().backward()
    assert [level for level, x in maps.items() if x.grad is not None] == [3, 4, 5]


@pytest.mark.parametrize(("kind", "sees"), [("fpn", [5]), ("biFpn", [3, 4, 5]), ("hybridEncoder", [3, 4, 5])])
def test_bottom_up_paths_show_the_highest_level_those_below_it(kind: str, sees: list[int]) -> None:
    maps = {level: x.requires_grad_() for level, x in make_maps((64, 64)).items()}
    make_neck(KINDS[kind], 3, 5)(maps)[5].sum().backward()
    assert [level for level, x in maps.items() if x.grad is not None] == sees


@each_kind
def test_images_of_a_batch_do_not_see_each_other(kind: dict[str, object]) -> None:
    neck, maps = make_neck(kind, 3, 6), make_maps((96, 96), batch=3)
    together, alone = neck(maps), neck({level: x[1:2] for level, x in maps.items()})
    for level, x in together.items():
        torch.testing.assert_close(x[1:2], alone[level], rtol=1e-4, atol=1e-4)


@each_kind
def test_bfloat16_autocast_stays_close(kind: dict[str, object]) -> None:
    neck, maps = make_neck(kind, 3, 6), make_maps((64, 64))
    exact = neck(maps)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = neck(maps)
    for level, x in exact.items():
        torch.testing.assert_close(rounded[level].float(), x, rtol=0.1, atol=0.2)


@each_kind
def test_a_bottom_level_that_the_backbone_lacks_is_refused(kind: dict[str, object]) -> None:
    channels = {level: CHANNELS[level] for level in (2, 3, 4, 5)}
    with pytest.raises(FatalError, match=r"neck\.bottomLevel is 1, but the backbone has the levels 2, 3, 4, 5") as caught:
        make_neck(kind, 1, 5, channels)
    assert caught.value.reason is Reason.BAD_MODEL


def test_a_weight_of_zero_takes_a_map_out() -> None:
    neck = BiFpn(CHANNELS, 32, 4, 5, repeats=1)
    with torch.no_grad():
        neck.passes[0].down["4"].weights[1] = -1.0  # ReLU turns it into zero
    maps = {level: x.requires_grad_() for level, x in make_maps((64, 64)).items()}
    neck(maps)[4].sum().backward()
    assert maps[5].grad is None or not maps[5].grad.any()


def test_attention_knows_where_a_cell_is() -> None:
    code = position_code(5, 7, 32, torch.device("cpu"))
    assert code.shape == (35, 32)
    assert torch.cdist(code, code).fill_diagonal_(1).min() > 0.1
    neighbours = (code.view(5, 7, 32)[:, 1:] - code.view(5, 7, 32)[:, :-1]).norm(dim=-1)
    torch.testing.assert_close(neighbours, torch.full_like(neighbours, neighbours[0, 0].item()), rtol=1e-4, atol=1e-4)
