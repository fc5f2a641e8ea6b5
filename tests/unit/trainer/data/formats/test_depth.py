"""Depth maps in PNG and NPY."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Depth
from headrace_trainer.data.targets.geometry import letterbox

SIZE = (HEIGHT, WIDTH)


def depth_dataset(root: Path, name: str = "a.png", values: np.ndarray | None = None, **fields: Any) -> DatasetFolder:
    """Pixel (0, 0) is 1500; one map to train on, one to score on."""
    folder = DatasetFolder(root).image("images/train/a.jpg").image("images/val/v.jpg")
    values = np.full(SIZE, 1500, np.uint16) if values is None else values
    for path in (folder.path(f"depth/train/{name}"), folder.path("depth/val/v.npy")):
        if path.suffix == ".npy":
            np.save(path, values)
        else:
            Image.fromarray(values).save(path)
    return folder.layer("depth", "depth-estimation", "depth", {"train": "depth/train", "val": "depth/val"}, **fields)


def rendered(folder: DatasetFolder) -> Depth:
    target = folder.open().train.annotations["depth"]["images/train/a.jpg"].render(letterbox(SIZE, SIZE))
    assert isinstance(target, Depth)
    return target


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_depth_is_value_times_scale_and_zero_is_unknown(tmp_path: Path, name: str) -> None:
    values = np.full(SIZE, 1500, np.uint16)
    values[0] = 0
    target = rendered(depth_dataset(tmp_path, name, values, scale=0.001))
    assert target.depth[1:] == pytest.approx(1.5)
    assert (target.depth[0] == 0).all()
    np.testing.assert_array_equal(target.known, values > 0)


def test_values_that_are_not_finite_are_unknown(tmp_path: Path) -> None:
    values = np.full(SIZE, 2.5, np.float32)
    values[0, :4] = (np.nan, np.inf, -np.inf, -1)
    target = rendered(depth_dataset(tmp_path, "a.npy", values))
    assert not target.known[0, :4].any()
    assert target.known[0, 4:].all()
    assert np.isfinite(target.depth).all()


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        ("a.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8), "depth/train/a.png: expected one channel of 8 or 16 bits"),
        ("a.npy", np.zeros((HEIGHT, WIDTH, 1)), r"expected an array \[height, width\] of numbers; found float64 \(40, 60, 1\)"),
        ("a.png", np.zeros((WIDTH, HEIGHT), np.uint16), "depth/train/a.png is for 40 x 60 pixels, but the image has 60 x 40"),
    ],
)
def test_a_broken_map_is_named(tmp_path: Path, name: str, values: np.ndarray, complaint: str) -> None:
    with pytest.raises(BadSampleError, match=complaint):
        rendered(depth_dataset(tmp_path, name, values))


def test_a_file_that_is_not_an_array_is_named(tmp_path: Path) -> None:
    folder = depth_dataset(tmp_path, "a.npy").text("depth/train/a.npy", "no array")
    with pytest.raises(BadSampleError, match=r"depth/train/a\.npy: not a readable NPY file"):
        rendered(folder)


def test_maps_are_not_taken_for_images(tmp_path: Path) -> None:
    """If the images' folder is the whole dataset, a map has the very name by which its image is looked up."""
    folder = depth_dataset(tmp_path).image("images/train/a.png")
    folder.path("images/train/a.jpg").unlink()
    folder.json("dataset.json", {"version": 1, "images": ".", "layers": folder.layers})
    dataset = folder.open({"name": "depth", "annotations": "depth", "depthEstimation": {}}, {"name": "all", "autoencoding": {}})
    assert (dataset.train.images, dataset.val.images) == (("images/train/a.png",), ("images/val/v.jpg",))


def test_a_folder_without_maps_is_refused(tmp_path: Path) -> None:
    folder = depth_dataset(tmp_path)
    folder.path("depth/train/a.png").rename(folder.path("depth/train/a.exr"))
    with pytest.raises(FatalError, match=r"no depth map \(\.png, \.npy\) in 'depth/train'; 'depth/train' has: a\.exr"):
        folder.open()


def test_a_scale_for_other_formats_is_refused(tmp_path: Path) -> None:
    folder = depth_dataset(tmp_path)
    folder.layers[0] |= {"format": "mask-png", "task": "semantic-segmentation", "scale": 0.5}
    with pytest.raises(FatalError, match="'scale' is for depth; this is semantic-segmentation as mask-png"):
        folder.json("dataset.json", {"version": 1, "layers": folder.layers}).open()
