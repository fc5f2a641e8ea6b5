import pytest
import torch
from torch import Tensor

from headrace_testing.shape_scenes import make_scenes
from headrace_trainer.heads.dense_boxes import Cells, DenseBoxes
from headrace_trainer.heads.dynamic_masks import MASKS, DynamicMasks, choose
from headrace_trainer.heads.fused_map import FusedMap
from headrace_trainer.ops.assignment import Assignment
from headrace_trainer.ops.grid import Level

WIDTH = 32


def make_masks(levels: tuple[int, ...] = (3, 4, 5)) -> DynamicMasks:
    torch.manual_seed(0)
    channels = dict.fromkeys(levels, WIDTH)
    return DynamicMasks(DenseBoxes(channels, 1), FusedMap(channels))


def one_level(masks: DynamicMasks, images: int, count: int, size: int) -> tuple[dict[str, Tensor], Cells]:
    """Random maps as outputs, and `count` cells per image whose boxes cover most of it."""
    side = size // 8
    outputs = masks({3: torch.rand(images, WIDTH, side, side)}, torch.rand(images, WIDTH, size // 4, size // 4))
    boxes = torch.tensor([0.2, 0.2, 0.8, 0.8]).mul(size).expand(images, side * side, 4)
    return outputs, Cells((Level(side, side, 8),), torch.zeros(images, side * side, 1), boxes)


def assignment(taken: Tensor) -> Assignment:
    """bool [B, N, K] -> separate cells for every object, with random qualities."""
    return Assignment(torch.arange(taken.numel()).view(taken.shape) % 1000, taken, torch.rand(taken.shape) * taken)


def test_every_object_gets_a_mask_before_any_gets_a_second() -> None:
    taken = torch.ones(1, 40, 13, dtype=torch.bool)
    taken[0, 7] = False
    taken[0, 8, 1:] = False
    chosen = choose(assignment(taken))
    counts = chosen.object[0].bincount(minlength=40)
    assert chosen.taken.all()
    assert counts.sum() == MASKS
    assert counts[7] == 0
    assert counts[8] == 1
    assert set(counts[torch.arange(40) > 8].tolist()) <= {1, 2}


def test_if_there_are_too_many_objects_different_ones_are_left_out_each_time() -> None:
    taken = torch.ones(1, 300, 13, dtype=torch.bool)
    seen = [set(choose(assignment(taken)).object[0].tolist()) for _ in range(20)]
    assert all(len(objects) == MASKS for objects in seen)
    assert len(set().union(*seen)) > 280


def test_few_objects_take_few_masks() -> None:
    assert choose(assignment(torch.ones(2, 3, 13, dtype=torch.bool))).cell.shape == (2, 12)
    assert choose(assignment(torch.ones(2, 3, 1, dtype=torch.bool))).cell.shape == (2, 3)
    assert not choose(assignment(torch.zeros(1, 3, 13, dtype=torch.bool))).taken.any()


def test_the_right_masks_have_almost_no_loss_and_are_decoded() -> None:
    scenes, masks = make_scenes(2, 96), make_masks()
    truth = scenes.masks
    shares = torch.nn.functional.avg_pool2d(truth.float(), 2)
    logits = shares.clamp(1e-4, 1 - 1e-4).logit()
    targets = scenes.instance_targets
    right = masks.losses(logits, truth, targets["boxes"], targets["valid"])
    assert right["dice"] < 0.01
    wrong = masks.losses(logits.roll(1, dims=1), truth, targets["boxes"], targets["valid"])
    assert wrong["dice"] > 1
    assert wrong["edges"] > 10 * right["edges"]
    back = masks.probabilities(logits, (96, 96)) > 0.5
    overlap = (back & truth).sum(dim=(2, 3)) / (back | truth).sum(dim=(2, 3))
    assert overlap.min() > 0.97


@pytest.mark.parametrize("size", [(33, 70), (1, 1), (5, 4)], ids=str)
def test_cells_past_the_edge_are_not_background(size: tuple[int, int]) -> None:
    """A mask of the whole image: sub-cells that are partly inside are covered entirely."""
    height, width = (-(-side // 4) * 2 for side in size)
    masks, everywhere = make_masks(), torch.ones(1, 1, *size, dtype=torch.bool)
    logits = torch.full((1, 1, height, width), -20.0)
    logits[..., : -(-size[0] // 2), : -(-size[1] // 2)] = 20.0
    boxes = torch.tensor([[[0.0, 0.0, size[1], size[0]]]])
    losses = masks.losses(logits, everywhere, boxes, torch.tensor([[True]]))
    assert losses["dice"].item() == pytest.approx(0, abs=1e-5)
    assert losses["edges"].item() == pytest.approx(0, abs=1e-5)
    assert (masks.probabilities(logits, size) > 0.5).all()


def test_masks_that_are_not_taken_count_for_nothing() -> None:
    masks = make_masks()
    logits = torch.randn(2, 3, 16, 16, requires_grad=True)
    truth, boxes = torch.rand(2, 3, 32, 32) < 0.5, torch.tensor([4.0, 4.0, 20.0, 20.0]).expand(2, 3, 4)
    taken = torch.tensor([[True, False, False], [False, False, False]])
    both = masks.losses(logits, truth, boxes, taken)
    alone = masks.losses(logits[:1, :1], truth[:1, :1], boxes[:1, :1], taken[:1, :1])
    assert both["dice"] == alone["dice"]
    assert both["edges"] == alone["edges"]
    sum(both.values()).backward()
    assert logits.grad is not None
    assert (logits.grad.flatten(2).any(dim=2) == taken).all()


def test_a_cell_gives_the_same_mask_whatever_else_is_asked() -> None:
    masks = make_masks((3,))
    outputs, cells = one_level(masks, images=2, count=5, size=64)
    many = masks.logits(outputs, cells, torch.tensor([[3, 9, 20], [0, 63, 9]]))
    one = masks.logits(outputs, cells, torch.tensor([[20], [9]]))
    assert many.shape == (2, 3, 32, 32)
    torch.testing.assert_close(many[:, 2:], one)


def test_a_mask_depends_on_where_its_box_is() -> None:
    masks = make_masks((3,))
    outputs, cells = one_level(masks, images=1, count=1, size=64)
    outputs["masks"] = torch.zeros_like(outputs["masks"])
    here = Cells(cells.levels, cells.logits, torch.tensor([8.0, 16.0, 24.0, 40.0]).expand(1, 64, 4))
    there = Cells(cells.levels, cells.logits, torch.tensor([24.0, 24.0, 40.0, 48.0]).expand(1, 64, 4))
    cell = torch.tensor([[5]])
    a, b = masks.logits(outputs, here, cell), masks.logits(outputs, there, cell)
    # Moved by 16 and 8 pixels, which is 8 and 4 sub-cells; far away, coordinates are clamped and masks are flat.
    torch.testing.assert_close(a[..., :-4, :-8], b[..., 4:, 8:])


def test_a_mask_keeps_as_much_for_the_backward_pass_as_stated() -> None:
    size, count = 128, 16
    masks = make_masks((3,))
    outputs, cells = one_level(masks, images=1, count=count, size=size)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = masks.logits(outputs, cells, torch.arange(count)[None])
        truth = torch.zeros(1, count, size, size, dtype=torch.bool)
        losses = masks.losses(logits, truth, cells.boxes[:, :count], torch.ones(1, count, dtype=torch.bool))
    assert sum(losses.values()).requires_grad
    bytes_a_mask_at_512 = sum(kept.values()) / count * (512 / size) ** 2
    assert 1e6 < bytes_a_mask_at_512 < 2.3e6
