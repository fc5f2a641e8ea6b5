"""Mask PNGs, panoptic PNGs and image folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder, coco
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import IGNORE, ClassMap, Label, Panoptic, Target
from headrace_trainer.data.targets.geometry import letterbox

SIZE = (HEIGHT, WIDTH)


def mask_dataset(root: Path, mask: np.ndarray, **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root)
    for split in ("train", "val"):
        folder.image(f"images/{split}/{split}.png").image(f"masks/{split}/{split}.png", mask)
    return folder.layer("regions", "semantic-segmentation", "mask-png", {"train": "masks/train", "val": "masks/val"}, **fields)


def rendered(folder: DatasetFolder, layer: str = "regions", image: str = "images/train/train.png") -> Target:
    return folder.open().train.annotations[layer][image].render(letterbox(SIZE, SIZE))


def halves(left: int, right: int, dtype: type = np.uint8) -> np.ndarray:
    mask: np.ndarray = np.full(SIZE, left, dtype)
    mask[:, WIDTH // 2 :] = right
    return mask


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixel_values_are_class_ids(tmp_path: Path, dtype: type) -> None:
    sky, sea = 7, 40 if dtype is np.uint8 else 4000
    target = rendered(mask_dataset(tmp_path, halves(sky, sea, dtype), classes={str(sky): "sky", str(sea): "sea"}))
    assert isinstance(target, ClassMap)
    np.testing.assert_array_equal(target.map, halves(0, 1))


def test_a_palette_counts_by_its_indices(tmp_path: Path) -> None:
    folder = mask_dataset(tmp_path, halves(0, 1), classes=["sky", "sea"])
    image = Image.fromarray(halves(0, 1)).convert("P")
    image.putpalette([200, 10, 10, 10, 200, 10])
    image.putdata(halves(1, 0).ravel().tolist())
    image.save(folder.path("masks/train/train.png"))
    target = rendered(folder)
    assert isinstance(target, ClassMap)
    np.testing.assert_array_equal(target.map, halves(1, 0))


@pytest.mark.parametrize("ignore", [0, 1, 255])
def test_the_ignored_value_is_not_a_class(tmp_path: Path, ignore: int) -> None:
    classes = ["sky", "sea"]
    folder = mask_dataset(tmp_path, halves(0, 1) if ignore < 2 else halves(0, 255), classes=classes, ignore=ignore)
    target = rendered(folder)
    assert isinstance(target, ClassMap)
    left, right = {0: (IGNORE, 0), 1: (0, IGNORE), 255: (0, IGNORE)}[ignore]
    np.testing.assert_array_equal(target.map, halves(left, right, np.int32))
    assert folder.open().heads[0].labels.classes == tuple(name for value, name in enumerate(classes) if value != ignore)


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        (halves(0, 9), "pixel values 9 are not in the class table, which has 2 classes with ids 0 to 1"),
        (np.zeros((HEIGHT, WIDTH, 3), np.uint8), "expected one channel of 8 or 16 bits or a palette; found RGB"),
        (np.zeros((WIDTH, HEIGHT), np.uint8), "masks/train/train.png is for 40 x 60 pixels, but the image has 60 x 40"),
    ],
)
def test_a_broken_mask_is_named(tmp_path: Path, mask: np.ndarray, complaint: str) -> None:
    with pytest.raises(BadSampleError, match=complaint):
        rendered(mask_dataset(tmp_path, mask, classes=["sky", "sea"]))


def test_a_truncated_mask_is_named(tmp_path: Path) -> None:
    folder = mask_dataset(tmp_path, np.random.default_rng(0).integers(0, 2, SIZE, np.uint8), classes=["sky", "sea"])
    path = folder.path("masks/train/train.png")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadSampleError, match=r"masks/train/train\.png: not a readable PNG"):
        rendered(folder)


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    folder = mask_dataset(tmp_path, halves(0, 1), classes=["sky", "sea"])
    folder.path("masks/train/train.png").rename(folder.path("masks/train/train.gif"))
    with pytest.raises(FatalError, match=r"layer 'regions': no mask \(\.png\) in 'masks/train'; 'masks/train' has: train\.gif"):
        folder.open()


def panoptic_dataset(root: Path, ids: np.ndarray, segments: list[dict[str, Any]]) -> DatasetFolder:
    folder = DatasetFolder(root)
    categories = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 5, "name": "grass", "isthing": 0}, {"id": 8, "name": "dog"}]
    colors = np.stack((ids % 256, ids // 256 % 256, ids // 65536), axis=-1).astype(np.uint8)
    for split in ("train", "val"):
        folder.image(f"images/{split}/{split}.jpg").image(f"{split}/{split}.png", colors)
        entry = {"image_id": 1, "file_name": f"{split}.png", "segments_info": segments}
        folder.json(f"{split}.json", coco([f"{split}.jpg"]) | {"annotations": [entry], "categories": categories})
    return folder.layer("panoptic", "panoptic-segmentation", "coco-panoptic", {"train": "train.json", "val": "val.json"})


PANOPTIC_IMAGE = "images/train/train.jpg"


def test_panoptic_colours_are_segment_ids(tmp_path: Path) -> None:
    ids = np.zeros(SIZE, np.int64)
    ids[:10] = 70000
    ids[20:] = 300
    segments = [{"id": 70000, "category_id": 5}, {"id": 300, "category_id": 1, "iscrowd": 1}]
    folder = panoptic_dataset(tmp_path, ids, segments)
    target = rendered(folder, "panoptic", PANOPTIC_IMAGE)
    assert isinstance(target, Panoptic)
    assert [target.segments[row, 0] for row in (0, 15, 30)] == [1, IGNORE, 0], "in the order of ids; 0 is no segment"
    assert target.classes.tolist() == [0, 1]
    assert target.crowd.tolist() == [True, False]
    head = {"name": "map", "annotations": "panoptic", "semanticSegmentation": {}}
    boxes = {"name": "boxes", "annotations": "panoptic", "objectDetection": {}}
    opened = folder.open(head, boxes)
    assert [head.labels.classes for head in opened.heads] == [("cat", "grass", "dog"), ("cat", "dog")]


def test_the_files_say_what_is_a_thing_whatever_dataset_json_calls_the_classes(tmp_path: Path) -> None:
    folder = panoptic_dataset(tmp_path, np.full(SIZE, 7), [{"id": 7, "category_id": 5}])
    folder.layers[0]["classes"] = {"1": "Katze", "5": "Gras", "8": "Hund"}
    labels = folder.json("dataset.json", {"version": 1, "layers": folder.layers}).open().heads[0].labels
    assert (labels.classes, labels.things) == (("Katze", "Gras", "Hund"), (True, False, True))


def test_a_segment_that_only_the_png_knows_is_broken(tmp_path: Path) -> None:
    folder = panoptic_dataset(tmp_path, np.full(SIZE, 7), [{"id": 8, "category_id": 1}])
    with pytest.raises(BadSampleError, match=r"train/train\.png: segment ids 7 are in the PNG but not in the JSON"):
        rendered(folder, "panoptic", PANOPTIC_IMAGE)


def test_a_missing_png_and_an_unknown_category_are_counted(tmp_path: Path) -> None:
    folder = panoptic_dataset(tmp_path, np.full(SIZE, 7), [{"id": 7, "category_id": 2}])
    with pytest.raises(FatalError, match=r"train/train\.png: segment 7: class 2 is not in the class table"):
        folder.open()
    folder = panoptic_dataset(tmp_path / "gone", np.full(SIZE, 7), [{"id": 7, "category_id": 1}])
    folder.path("train/train.png").unlink()
    with pytest.raises(FatalError, match=r"images/train/train\.jpg: no PNG at train/train\.png"):
        folder.open()


@pytest.mark.parametrize(
    ("segment", "complaint"),
    [
        ({"id": 7}, r"train/train\.png: segment 7: expected a category_id; found None"),
        ({"id": 7, "category_id": [1]}, r"train/train\.png: segment 7: expected a category_id; found \[1\]"),
        ({"id": 7, "category_id": "1"}, r"train/train\.png: segment 7: class '1' is not in the class table"),
        ({"id": float("inf"), "category_id": 1}, r"annotations\[0\]: expected the image_id of a listed image, file_name and segm"),
        ([7], r"annotations\[0\]: expected the image_id of a listed image, file_name and segments_info"),
    ],
)
def test_a_broken_segment_is_counted(tmp_path: Path, segment: Any, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint) as caught:
        panoptic_dataset(tmp_path, np.full(SIZE, 7), [segment]).open()
    assert caught.value.reason is Reason.TOO_MANY_BAD_IMAGES


@pytest.mark.parametrize("name", [5, None, ["train.png"]])
def test_a_panoptic_file_name_that_is_not_a_string_is_counted(tmp_path: Path, name: Any) -> None:
    folder = panoptic_dataset(tmp_path, np.full(SIZE, 7), [])
    entry = {"image_id": 1, "file_name": name, "segments_info": []}
    with pytest.raises(
        FatalError, match=r"train\.json: annotations\[0\]: expected the image_id of a listed image, file_name"
    ) as caught:
        folder.json("train.json", coco(["train.jpg"]) | {"annotations": [entry]}).open()
    assert caught.value.reason is Reason.TOO_MANY_BAD_IMAGES


def test_a_panoptic_png_may_not_lead_out_of_the_dataset(tmp_path: Path) -> None:
    folder = panoptic_dataset(tmp_path, np.full(SIZE, 7), [])
    entry = {"image_id": 1, "file_name": "../x.png", "segments_info": []}
    with pytest.raises(FatalError, match=r"annotations\[0\]: file_name: '\.\./x\.png' leads out of the dataset"):
        folder.json("train.json", coco(["train.jpg"]) | {"annotations": [entry]}).open(max_bad_images=9)


def scene_dataset(root: Path, **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root)
    for name in ("train/sea/1", "train/forest/2", "train/forest/deep/3", "val/sea/4"):
        folder.image(f"images/{name}.jpg")
    return folder.layer(
        "scene", "multiclass-classification", "image-folder", {"train": "images/train", "val": "images/val"}, **fields
    )


def test_folders_are_classes_over_all_splits(tmp_path: Path) -> None:
    dataset = scene_dataset(tmp_path).open()
    assert dataset.heads[0].labels.classes == ("forest", "sea")
    geometry = letterbox(SIZE, SIZE)
    labels = {image: annotation.render(geometry) for image, annotation in dataset.train.annotations["scene"].items()}
    assert labels == {
        "images/train/forest/2.jpg": Label(0),
        "images/train/forest/deep/3.jpg": Label(0),
        "images/train/sea/1.jpg": Label(1),
    }


def test_dataset_json_may_order_the_classes_and_refuses_other_folders(tmp_path: Path) -> None:
    assert scene_dataset(tmp_path / "a", classes=["sea", "forest", "city"]).open().heads[0].labels.classes == (
        "sea",
        "forest",
        "city",
    )
    with pytest.raises(FatalError, match="folders that are not classes: forest; the classes are: sea, wood"):
        scene_dataset(tmp_path / "b", classes=["sea", "wood"]).open()


def test_image_folders_may_be_outside_the_folder_of_images(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path).image("images/other.jpg").image("train/a/1.jpg").image("val/a/2.jpg")
    dataset = folder.layer("scene", "multiclass-classification", "image-folder", {"train": "train", "val": "val"}).open()
    assert dataset.train.images == ("train/a/1.jpg",)
