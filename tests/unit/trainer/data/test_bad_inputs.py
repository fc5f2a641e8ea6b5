"""What is wrong with people's datasets: a check reports it, and opening handles it as docs/datasets.md says."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as official

from headrace_api.errors import FatalError
from headrace_api.training import ImageSize, Training
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder, coco
from headrace_trainer.check.dataset import check_dataset
from headrace_trainer.check.report import Report
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.data.batches.loader import train_batches
from headrace_trainer.data.batches.sample import Sample, load_sample
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.data.targets.geometry import letterbox

SIZE = (HEIGHT, WIDTH)
SPLITS = {"train": "train.json", "val": "val.json"}
BOX: dict[str, Any] = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
POLYGON = BOX | {"segmentation": [[1, 1, 9, 1, 9, 9]]}


def check(folder: DatasetFolder, decode: bool = False) -> Report:
    return check_dataset(folder.root, "dataset", decode)


def loaded(folder: DatasetFolder) -> Sample:
    """The first image to train on, with its labels as they were loaded."""
    return load_sample(folder.open(max_bad_images=9).train, 0, SIZE, lambda size: letterbox(size, SIZE))


def first_batch(dataset: Dataset, size: int = 2) -> Batch:
    with closing(
        train_batches(dataset, Training(batch_size=size, image_size=ImageSize(height=HEIGHT, width=WIDTH)), 0, 1)
    ) as batches:
        return next(batches)


def coco_folder(
    root: Path, train: list[dict[str, Any]], val: list[dict[str, Any]], task: str = "object-detection", **fields: Any
) -> DatasetFolder:
    folder = DatasetFolder(root).image("images/a.png").image("images/v.png")
    folder.json("train.json", coco(["a.png"], train)).json("val.json", coco(["v.png"], val))
    return folder.layer("things", task, "coco", SPLITS, **fields)


def test_nothing_is_wrong_with_a_good_dataset(tmp_path: Path) -> None:
    report = check(coco_folder(tmp_path, [BOX], [BOX]), decode=True)
    assert (report.problems, report.notes) == ([], [])
    assert (report.images, report.unlisted, report.sides) == (2, 0, (HEIGHT, WIDTH))


def test_a_class_in_val_but_not_in_train(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path, [BOX], [BOX, BOX | {"category_id": 3}])
    assert check(folder).notes == ["layer 'things': classes in val but not in train: dog"]
    assert check(folder).problems == []
    folder.open()
    assert folder.said == ["WARNING: head 'things' is scored on 1 class that no training image has: dog"]


def test_an_empty_split(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path, [BOX], []).json("val.json", coco([]))
    assert check(folder).problems == ["no image is in the split 'val' of any layer: nothing would be scored"]
    with pytest.raises(FatalError, match="no image is in the split 'val': give at least one of the layers 'things' a 'val'"):
        folder.open()
    folder.json("val.json", coco(["v.png"], [BOX])).json("train.json", coco([]))
    assert check(folder).problems == ["layer 'things' has no image to train on"]
    with pytest.raises(FatalError, match="no image is in the split 'train'"):
        folder.open()


def test_one_image(tmp_path: Path) -> None:
    """It goes into one split, and nothing is left for the other."""
    folder = DatasetFolder(tmp_path).image("images/a.png").json("all.json", coco(["a.png"], [BOX]))
    folder.layer("things", "object-detection", "coco", {"all": "all.json"})
    assert check(folder).problems[-1] == "the dataset has only one image; it needs two, one to train on and one to score on"
    with pytest.raises(FatalError, match=r"no image is in the split '(train|val)'.* Only one image can be used, images/a.png; two"):
        folder.open()


def test_one_image_to_train_on_and_one_to_score_on(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path, [BOX], [BOX])
    assert check(folder).problems == []
    batch = first_batch(folder.open(), 4)
    assert batch.names == ["images/a.png"] * 4
    assert batch.labelled["things"].all()


def test_all_images_unlabelled_for_a_head(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path, [BOX], [BOX]).json("none.json", coco([]))
    folder.layer("others", "object-detection", "coco", {"train": "none.json", "val": "val.json"})
    assert check(folder).problems == ["layer 'others' has no image to train on"]
    with pytest.raises(FatalError, match="head 'others': layer 'others' has no labelled image to train on"):
        folder.open()


def test_all_annotations_of_a_head_broken(tmp_path: Path) -> None:
    """Within the limit for bad images, and yet nothing to learn."""
    folder = coco_folder(tmp_path, [BOX | {"bbox": [1, 1, "x", 9]}], [BOX])
    skipped = r"\(1 bad images or annotations were skipped; images/a.png: train.json: annotation 1: expected bbox"
    with pytest.raises(FatalError, match=f"no image is in the split 'train': .*{skipped}"):
        folder.open(max_bad_images=9)
    folder.image("images/b.png").json("others.json", coco(["b.png"], [BOX]))
    folder.layer("others", "object-detection", "coco", {"train": "others.json", "val": "val.json"})
    with pytest.raises(FatalError, match=f"head 'things': layer 'things' has no labelled image to train on {skipped}"):
        folder.open(max_bad_images=9)


def test_all_masks_of_a_head_broken_shows_while_they_are_read(tmp_path: Path) -> None:
    """A mask is opened with its image; if none is usable, the job ends within the first pass."""
    dataset = mask_folder(tmp_path, np.full(SIZE, 7, np.uint8), beside=False).open(max_bad_images=9)
    with pytest.raises(
        FatalError,
        match=r"none of the 1 images to train on has a usable annotation in layer 'regions'; .*pixel values 7",
    ):
        first_batch(dataset)


def test_all_images_unreadable_shows_while_they_are_read(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path).image("val/v.png").text("train/a.png", "no image").text("train/b.png", "no image")
    dataset = folder.open({"name": "pixels", "autoencoding": {}}, max_bad_images=9)
    with pytest.raises(FatalError, match=r"none of the 2 images to train on can be read; train/.*cannot be read as an image"):
        first_batch(dataset)


def mask_folder(root: Path, mask: np.ndarray, beside: bool = True) -> DatasetFolder:
    """Images with masks: `mask` belongs to the first image to train on, next to one with a good mask."""
    folder = DatasetFolder(root)
    for split in ("train", "val"):
        folder.image(f"images/{split}/{split}.png").image(f"masks/{split}/{split}.png", mask if split == "train" else mask[:1, :1])
    folder.image("masks/val/val.png", np.zeros(SIZE, np.uint8))
    if beside:
        folder.image("images/train/z.png").image("masks/train/z.png", np.zeros(SIZE, np.uint8))
    splits = {split: f"masks/{split}" for split in ("train", "val")}
    return folder.layer("regions", "semantic-segmentation", "mask-png", splits, classes=["sky", "sea"])


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    folder = mask_folder(tmp_path, np.zeros((HEIGHT - 1, WIDTH), np.uint8))
    (problem,) = check(folder).problems
    sizes = f"made for {WIDTH} x {HEIGHT - 1} pixels; the image has {WIDTH} x {HEIGHT}"
    assert problem == f"layer 'regions': images/train/train.png: {sizes}"
    assert loaded(folder).targets == {"regions": None}, "unlabelled, and counted as bad"


def test_a_mask_with_values_that_are_not_classes(tmp_path: Path) -> None:
    folder = mask_folder(tmp_path, np.full(SIZE, 7, np.uint8))
    assert check(folder).problems == [], "the check looks for the file but does not open it"
    (problem,) = check(folder, decode=True).problems
    assert "masks/train/train.png: pixel values 7 are not in the class table" in problem
    assert loaded(folder).targets == {"regions": None}


def test_a_class_that_only_occurs_in_masks_to_score_on(tmp_path: Path) -> None:
    """Only `--images` opens masks."""
    folder = mask_folder(tmp_path, np.zeros(SIZE, np.uint8))
    sea = np.zeros(SIZE, np.uint8)
    sea[5, 7] = 1
    folder.image("masks/val/val.png", sea)
    assert check(folder).layers[0].names == {"classes": ["sky", "sea"]}
    report = check(folder, decode=True)
    assert report.layers[0].classes == {"sky": {"train": 2, "val": 1}, "sea": {"train": 0, "val": 1}}
    assert report.layers[0].names == {}
    assert report.notes == ["layer 'regions': classes in val but not in train: sea"]


def test_a_polygon_outside_its_image(tmp_path: Path) -> None:
    outside = POLYGON | {"segmentation": [[WIDTH + 1, 1, WIDTH + 9, 1, WIDTH + 9, 9]]}
    report = check(coco_folder(tmp_path, [POLYGON, outside], [POLYGON], "instance-segmentation"))
    assert report.problems == []
    assert report.notes == ["layer 'things': 1 instances dropped: no mask inside their image"]


def test_a_box_outside_its_image(tmp_path: Path) -> None:
    boxes = [BOX | {"bbox": bbox} for bbox in ([WIDTH + 1, 1, 5, 5], [WIDTH - 5, 1, 20, 5], [3, 3, 0, 7])]
    assert check(coco_folder(tmp_path, boxes, [BOX])).notes == [
        "layer 'things': 1 boxes clipped to their image",
        "layer 'things': 2 boxes dropped: no area inside their image",
    ]


@pytest.mark.parametrize(
    ("counts", "complaint"),
    [
        ([5, 5], "counts add up to 10 pixels, expected 2400"),
        ("o", "expected run lengths with size and counts"),
        (official.encode(np.ones((HEIGHT - 1, WIDTH), np.uint8, order="F"))["counts"].decode(), "run lengths cannot be decoded"),
    ],
)
def test_broken_run_lengths(tmp_path: Path, counts: Any, complaint: str) -> None:
    broken = BOX | {"segmentation": {"size": list(SIZE), "counts": counts}}
    (problem,) = check(coco_folder(tmp_path, [broken], [POLYGON], "instance-segmentation")).problems[:1]
    assert problem.startswith("layer 'things': images/a.png: train.json: annotation 1: ")
    assert complaint in problem


def test_keypoints_without_a_visible_one(tmp_path: Path) -> None:
    category = [{"id": 1, "name": "person", "keypoints": ["nose", "chin"], "skeleton": []}]
    person = BOX | {"keypoints": [5, 5, 0, 6, 6, 0]}
    folder = DatasetFolder(tmp_path).image("images/a.png").image("images/v.png")
    folder.json("train.json", coco(["a.png"], [person]) | {"categories": category})
    folder.json("val.json", coco(["v.png"], [person]) | {"categories": category})
    folder.layer("people", "keypoint-detection", "coco", SPLITS)
    assert check(folder).notes == ["layer 'people': 2 objects without a labelled keypoint, used only for boxes"]
    folder.open()
    assert folder.said == [
        "WARNING: head 'people' can learn only boxes: no object to train on in layer 'people' has a labelled keypoint"
    ]


def test_quadrilaterals_whose_sides_cross(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path).image("images/a.png").image("images/v.png")
    folder.text("gt/train/a.txt", "1,1,9,9,9,1,1,9,x\n1,1,9,1,9,9,1,9,y\n").text("gt/val/v.txt", "")
    folder.layer("texts", "quadrilateral-detection", "icdar", {"train": "gt/train", "val": "gt/val"})
    assert check(folder).notes == ["layer 'texts': 1 quadrilaterals dropped: their sides cross"]
    assert folder.open().train.annotations["texts"]["images/a.png"].objects == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2 .5 .5 .1 .1", "labels/train/a.txt:1: class 2 is not in the class table, which has 2 classes with ids 0 to 1"),
        ("-1 .5 .5 .1 .1", "class -1 is not in the class table"),
        ("0 50 50 10 10", "labels/train/a.txt:1: expected fractions of the image's sides, 0 to 1"),
        ("cat .5 .5 .1 .1", "labels/train/a.txt:1: expected numbers; found 'cat .5 .5 .1 .1'"),
    ],
)
def test_labels_out_of_range(tmp_path: Path, text: str, complaint: str) -> None:
    folder = DatasetFolder(tmp_path)
    for split, content in (("train", text), ("val", "0 .5 .5 .1 .1")):
        folder.image(f"images/{split}/a.png").text(f"labels/{split}/a.txt", content)
    splits = {split: f"labels/{split}" for split in ("train", "val")}
    folder.layer("things", "object-detection", "yolo", splits, classes=["cat", "dog"])
    assert complaint in check(folder).problems[0]
    with pytest.raises(FatalError, match="1 bad images, more than dataset"):
        folder.open()


def test_a_text_with_a_character_outside_the_alphabet(tmp_path: Path) -> None:
    """The alphabet comes from dataset.json. Without one, it includes val's characters, though nothing teaches them."""
    folder = DatasetFolder(tmp_path).image("images/a.png").image("images/v.png")
    folder.text("train.csv", "image,text\na.png,12\n").text("val.csv", "image,text\nv.png,1€\n")
    folder.layer("texts", "text-recognition", "csv", {"train": "train.csv", "val": "val.csv"}, alphabet="0123456789")
    assert check(folder).problems == [
        "layer 'texts': images/v.png: the text '1€' has characters that are not in the alphabet: €",
        "no image is in the split 'val' of any layer: nothing would be scored",
    ]
    del folder.layers[0]["alphabet"]
    folder.json("dataset.json", {"version": 1, "layers": folder.layers})
    assert folder.open().heads[0].labels.alphabet == "12€"


def test_a_value_that_is_unknown_for_every_image_to_train_on(tmp_path: Path) -> None:
    """A value known only for images to score on counts as unknown."""
    folder = DatasetFolder(tmp_path).image("images/a.png").image("images/b.png").image("images/v.png")
    folder.text("train.csv", "image,angle,count\na.png,,1\nb.png,,2\n").text("val.csv", "image,angle,count\nv.png,3,1\n")
    folder.layer("numbers", "regression", "csv", {"train": "train.csv", "val": "val.csv"})
    problem = "layer 'numbers': none of 2 images to train on has a number for: angle; add some to its files, or list the layer's"
    assert [found[: len(problem)] for found in check(folder).problems] == [problem]
    with pytest.raises(FatalError, match=f"head 'numbers': {problem}"):
        folder.open()
    assert folder.open({"name": "pixels", "annotations": "numbers", "autoencoding": {}}), "the numbers are not learned"
    del folder.layers[0]
    folder.layer("numbers", "regression", "csv", {"train": "train.csv", "val": "val.csv"}, values=["count"])
    assert check(folder).problems == []
    assert folder.open().heads[0].labels.values == ("count",)


def yolo_of(root: Path, classes: Any) -> DatasetFolder:
    folder = DatasetFolder(root)
    for split in ("train", "val"):
        folder.image(f"images/{split}/a.png").text(f"labels/{split}/a.txt", "0 .5 .5 .1 .1\n1 .5 .5 .1 .1")
    splits = {split: f"labels/{split}" for split in ("train", "val")}
    return folder.layer("things", "object-detection", "yolo", splits, classes=classes)


@pytest.mark.parametrize(("classes", "ids"), [(["cat", "cat", "dog"], "0 and 1"), ({0: "dog", 1: "cat", 7: "cat"}, "1 and 7")])
def test_two_classes_with_the_same_name(tmp_path: Path, classes: Any, ids: str) -> None:
    """It would be unclear which of them a table or a prediction means."""
    folder = yolo_of(tmp_path, classes)
    problem = f"layer 'things': classes {ids} are both called 'cat'; expected a different name for each class"
    assert check(folder).problems == [problem]
    with pytest.raises(FatalError, match=problem):
        folder.open()


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "a.png"), ("L", "a.jpg"), ("CMYK", "a.jpg"), ("I;16", "a.png"), ("P", "a.png"), ("RGBA", "a.png"), ("1", "a.png")],
)
def test_images_of_every_kind_are_read(tmp_path: Path, mode: str, name: str) -> None:
    folder = coco_folder(tmp_path, [], [BOX]).json("train.json", coco([name], [BOX]))
    folder.path("images/a.png").unlink()
    Image.new(mode, (WIDTH, HEIGHT)).save(folder.path(f"images/{name}"))
    assert check(folder, decode=True).problems == []
    assert loaded(folder).image.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("stated", [SIZE, SIZE[::-1]])
def test_an_image_that_exif_rotates_matches_its_annotations(tmp_path: Path, stated: tuple[int, int]) -> None:
    content = coco(["a.jpg"], [BOX])
    content["images"][0] |= {"height": stated[0], "width": stated[1]}
    folder = coco_folder(tmp_path, [], [BOX]).json("train.json", content)
    exif = Image.Exif()
    exif[0x0112] = 6
    folder.image("images/a.jpg", np.zeros((*SIZE, 3), np.uint8), exif=exif)
    assert check(folder, decode=True).problems == []
    assert loaded(folder).targets["things"] is not None


def test_12_bit_images_in_16_bit_files_are_nearly_black_and_reported(tmp_path: Path) -> None:
    shades = np.linspace(0, 4095, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    folder = DatasetFolder(tmp_path)
    for number, factor in enumerate((1, 1, 16, 0)):
        folder.image(f"{'ab'[number % 2]}/{number}.png", shades * factor)
    said = "16-bit pixels that are all below 4096"
    (note,) = [note for note in check(folder, decode=True).notes if said in note]
    assert note.startswith("2 images (for example a/0.png) have 16-bit pixels")
    first_batch(folder.open(), size=8)
    assert sum(said in line for line in folder.said) == 1


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path, [], [BOX]).json("train.json", coco(["a.png", "b.png"], [BOX])).image("images/b.png")
    folder.text("images/a.png", "no image")
    (problem,) = check(folder).problems
    assert problem.startswith("images/a.png: cannot be read as an image: ")
    assert loaded(folder).targets == {"things": None}
    folder.image("images/a.png", np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8))
    whole = folder.path("images/a.png").read_bytes()
    folder.path("images/a.png").write_bytes(whole[: len(whole) // 2])
    assert check(folder).problems == [], "its header is intact"
    assert len(check(folder, decode=True).problems) == 1
