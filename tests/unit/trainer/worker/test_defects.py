import pytest
import torch
from torch import Tensor

from headrace_testing.host_sync import NoHostSync
from headrace_trainer.worker.defects import DEFECTS, with_defects


def noise(batch: int, size: tuple[int, int] = (48, 80)) -> Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_changes_but_the_defects() -> None:
    images = noise(32)
    changed, defects = with_defects(images, seeded(0))
    assert changed.shape == images.shape
    assert defects.shape == (32, 48, 80)
    assert changed.min() >= 0
    assert changed.max() <= 1
    # Pixels marked as no defect changed very little, or are next to one: each changed by less than 0.08 over 7 x 7 pixels.
    near = torch.nn.functional.max_pool2d(defects.float(), 7, stride=1, padding=3).bool()
    change = torch.nn.functional.avg_pool2d((changed - images).abs().mean(dim=1), 7, stride=1, padding=3, count_include_pad=False)
    assert change[~near].max() <= DEFECTS * 0.08
    assert (change[~near] == 0).any()


def test_every_pixel_of_a_defect_has_changed_surroundings() -> None:
    images = noise(32)
    changed, defects = with_defects(images, seeded(0))
    change = torch.nn.functional.max_pool2d((changed - images).abs().amax(dim=1, keepdim=True), 7, stride=1, padding=3)
    assert (change[:, 0][defects] > 0.08).all()


def test_defects_are_of_all_sizes_and_nearly_every_image_has_one() -> None:
    _, defects = with_defects(noise(200), seeded(0))
    share = defects.flatten(1).float().mean(dim=1)
    assert (share > 0).float().mean() > 0.9
    assert 0.05 < share.median() < 0.2
    assert share.max() < 0.8
    assert ((share > 0) & (share < 0.02)).any()
    assert (share > 0.3).any()


def test_a_patch_that_looks_like_what_it_covers_is_not_a_defect() -> None:
    flat = torch.full((200, 3, 48, 48), 0.5)
    changed, defects = with_defects(flat, seeded(0))
    moved_only_a_little = (changed - flat).abs().flatten(1).amax(dim=1) < 0.03
    assert moved_only_a_little.any()
    assert not defects[moved_only_a_little].any()


def test_some_defects_have_sharp_edges_and_others_do_not() -> None:
    """Measured on smooth images: how much the change grows from one pixel to the next."""
    y, x = torch.meshgrid(torch.linspace(0, 6, 64), torch.linspace(0, 6, 64), indexing="ij")
    images = torch.stack([0.5 + 0.3 * x.sin(), 0.5 + 0.3 * y.cos(), 0.5 + 0.3 * (x + y).sin()]).expand(200, -1, -1, -1)
    change = (with_defects(images, seeded(0))[0] - images).abs().amax(dim=1)
    growth = change.diff(dim=2).flatten(1).abs().amax(dim=1) / change.flatten(1).amax(dim=1).clamp(min=1e-6)
    assert (growth > 0.8).float().mean() > 0.1
    assert (growth < 0.4).float().mean() > 0.1


def test_an_images_defect_does_not_depend_on_the_other_images() -> None:
    images = noise(4)
    others = torch.cat([images[:1], noise(8)[5:]])
    ours, theirs = with_defects(images, seeded(3)), with_defects(others, seeded(3))
    assert torch.equal(ours[0][0], theirs[0][0])
    assert torch.equal(ours[1][0], theirs[1][0])


def test_defects_are_repeatable_and_drawn_without_waiting_for_the_device() -> None:
    images = noise(4)
    with NoHostSync():
        first, second, other = (with_defects(images, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (1, 5)], ids=str)
def test_any_size_works(size: tuple[int, int]) -> None:
    changed, defects = with_defects(noise(3, size), seeded(0))
    assert changed.isfinite().all()
    assert defects.shape == (3, *size)
