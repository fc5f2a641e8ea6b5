"""From the network's input back to the image: inverts the letterbox for points, boxes and maps."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_testing.head_cases import make_features, make_head
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.heads.base import REGISTRY
from headrace_trainer.results.placement import _PLACES, Placement, placed

sides = st.integers(8, 300)
sizes = st.tuples(sides, sides)


def back(size: tuple[int, int], canvas: tuple[int, int]) -> Placement:
    return Placement(letterbox(size, canvas), size)


@settings(max_examples=100, deadline=None)
@given(size=sizes, canvas=sizes, seed=st.integers(0, 100))
def test_points_and_boxes_come_back_to_where_they_were(size: tuple[int, int], canvas: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.random((5, 2)) * size[::-1]
    placement = back(size, canvas)
    got = placement.points(torch.from_numpy(placement.geometry.place_points(points)).float())
    assert np.allclose(got.numpy(), points, atol=0.02)
    boxes = np.concatenate([points.clip(0, np.array(size[::-1]) / 2), np.broadcast_to(size[::-1], (5, 2))], axis=1)
    on_canvas, _ = placement.geometry.place_boxes(boxes)
    assert np.allclose(placement.boxes(torch.from_numpy(on_canvas)).numpy(), boxes, atol=0.02)


@settings(max_examples=50, deadline=None)
@given(size=sizes, canvas=sizes)
def test_boxes_do_not_reach_out_of_the_image_and_points_may(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    placement = back(size, canvas)
    far = torch.tensor([-1000.0, -1000, 2000, 2000])
    assert placement.boxes(far).tolist() == [0, 0, size[1], size[0]]
    assert (placement.points(far.view(2, 2))[0] < 0).all()


@settings(max_examples=50, deadline=None)
@given(size=sizes, canvas=st.tuples(st.integers(16, 128), st.integers(16, 128)))
def test_maps_come_back_in_the_images_size_without_the_padding(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    placement = back(size, canvas)
    left, top, right, bottom = placement.geometry.shown
    labels = torch.full(canvas, 7)
    labels[top:bottom, left:right] = 3
    got = placement.labels(labels)
    assert got.shape == size
    assert got.dtype == labels.dtype
    assert (got == 3).all()
    assert torch.allclose(placement.values(labels.float()), torch.tensor(3.0))
    assert placement.masks(torch.stack([labels == 3, labels == 7])).float().mean(dim=(1, 2)).tolist() == [1, 0]


@settings(max_examples=50, deadline=None)
@given(size=st.tuples(st.integers(8, 60), st.integers(8, 60)), factor=st.integers(1, 4), seed=st.integers(0, 100))
def test_labels_of_an_image_that_was_enlarged_come_back_pixel_by_pixel(size: tuple[int, int], factor: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(IGNORE, 5, size)
    placement = back(size, (size[0] * factor, size[1] * factor))
    on_canvas = placement.geometry.place_map(labels, IGNORE)
    assert np.array_equal(placement.labels(torch.from_numpy(on_canvas.copy())).numpy(), labels)


def test_a_mask_that_was_made_smaller_comes_back_within_a_pixel_of_the_network() -> None:
    y, x = np.mgrid[:200, :300]
    mask = (x - 140) ** 2 + (y - 90) ** 2 < 60**2
    placement = back((200, 300), (100, 150))
    got = placement.masks(torch.from_numpy(placement.geometry.place_map(mask, 0).copy())).numpy()
    wrong = got != mask
    assert wrong.mean() < 0.01
    assert (np.abs(np.hypot(x - 140, y - 90)[wrong] - 60) <= 2).all()


def test_every_prediction_with_a_place_in_the_image_is_brought_back() -> None:
    """Every prediction that is as large as the canvas, or uses its unit, is known by name."""
    size, canvas = (48, 80), (96, 96)
    for task in sorted(REGISTRY):
        head = make_head(task).eval()
        with torch.no_grad():
            predictions = head.decode(head(make_features(1, canvas)), canvas)
        maps = {name for name, value in predictions.items() if value.shape[-2:] == canvas}
        assert maps <= _PLACES.keys(), task
        one = {name: value[0] for name, value in predictions.items()}
        for name, value in placed(one, back(size, canvas)).items():
            assert value.shape == (one[name].shape[:-2] + size if name in maps else one[name].shape), (task, name)
