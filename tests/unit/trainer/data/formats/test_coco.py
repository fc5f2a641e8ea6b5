"""COCO's JSON of boxes, polygons and run lengths, compared with pycocotools."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as official

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder, coco
from headrace_trainer.check.dataset import check_dataset
from headrace_trainer.data.annotations import KeypointList
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Boxes, Instances, Target
from headrace_trainer.data.targets.geometry import letterbox

SIZE = (HEIGHT, WIDTH)


def coco_dataset(
    root: Path, annotations: list[dict[str, Any]], task: str = "object-detection", images: tuple[str, ...] = ("a.png",)
) -> DatasetFolder:
    folder = DatasetFolder(root).image("images/val/v.png")
    for name in images:
        folder.image(f"images/train/{name}")
    folder.json("train.json", coco(images, annotations)).json("val.json", coco(["v.png"]))
    return folder.layer("things", task, "coco", {"train": "train.json", "val": "val.json"})


def rendered(folder: DatasetFolder, image: str = "images/train/a.png") -> Target:
    return folder.open().train.annotations["things"][image].render(letterbox(SIZE, SIZE))


def with_classes(folder: DatasetFolder, classes: Any) -> DatasetFolder:
    folder.layers[0]["classes"] = classes
    return folder.json("dataset.json", {"version": 1, "layers": folder.layers})


@pytest.mark.parametrize("classes", [["cat", "dog"], {"1": "dog", "3": "cat"}])
def test_classes_in_dataset_json_with_other_ids_than_in_the_files_are_refused(tmp_path: Path, classes: Any) -> None:
    folder = with_classes(coco_dataset(tmp_path, [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}]), classes)
    with pytest.raises(FatalError, match=r"layer 'things': classes: '(cat|dog)' has id \d in dataset\.json, but \d in the files"):
        folder.open()


def test_classes_in_dataset_json_may_have_other_names(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}])
    assert with_classes(folder, {"1": "Katze", "3": "Hund"}).open().heads[0].labels.classes == ("Katze", "Hund")


def test_boxes_classes_and_crowds(tmp_path: Path) -> None:
    annotations: list[dict[str, Any]] = [
        {"image_id": 1, "category_id": 3, "bbox": [10, 5, 20.5, 10]},
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
    ]
    folder = coco_dataset(tmp_path, annotations)
    target = rendered(folder)
    assert isinstance(target, Boxes)
    np.testing.assert_allclose(target.boxes, np.array([[10, 5, 30.5, 15], [0, 0, 5, 5]]))
    assert target.classes.tolist() == [1, 0], "ids with gaps become indices in their order"
    assert target.crowd.tolist() == [False, True]
    assert folder.open().heads[0].labels.classes == ("cat", "dog")


def test_images_without_annotations_are_negatives_and_those_not_listed_unlabelled(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, [], images=("a.png", "b.png")).image("images/train/c.png")
    train = folder.open().train
    assert train.images == ("images/train/a.png", "images/train/b.png")
    assert [annotation.objects for annotation in train.annotations["things"].values()] == [0, 0]


def test_boxes_are_clipped_to_the_stated_size(tmp_path: Path) -> None:
    boxes = [[50, 30, 20, 20], [70, 0, 5, 5], [5, 5, 0, 3]]
    dataset = coco_dataset(tmp_path, [{"image_id": 1, "category_id": 1, "bbox": box} for box in boxes]).open()
    target = dataset.train.annotations["things"]["images/train/a.png"].render(letterbox(SIZE, SIZE))
    assert isinstance(target, Boxes)
    np.testing.assert_allclose(target.boxes, np.array([[50, 30, WIDTH, HEIGHT]]))
    assert {"1 boxes clipped to their image", "2 boxes dropped: no area inside their image"} < set(dataset.describe())


def test_masks_equal_pycocotools(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    blob = np.asfortranarray(random.random(SIZE) < 0.3, np.uint8)
    compressed = official.encode(blob)
    columns = blob.ravel(order="F")
    changes = np.flatnonzero(np.diff(columns)) + 1
    counts = np.diff(np.concatenate(([0], changes, [columns.size]))).tolist()
    counts = [0, *counts] if columns[0] else counts
    polygons = [[5.0, 5.5, 30.0, 8.0, 22.5, 35.0], [40.0, 10.0, 55.0, 10.0, 55.0, 30.0, 40.0, 30.0]]
    segmentations = [
        polygons,
        {"size": list(SIZE), "counts": compressed["counts"].decode()},
        {"size": list(SIZE), "counts": counts},
    ]
    annotations = [{"image_id": 1, "category_id": 1, "segmentation": segmentation} for segmentation in segmentations]
    target = rendered(coco_dataset(tmp_path, annotations, "instance-segmentation"))
    assert isinstance(target, Instances)
    want = official.decode(official.merge(official.frPyObjects(polygons, HEIGHT, WIDTH)))
    np.testing.assert_array_equal(target.masks[0], want.astype(np.bool_))
    np.testing.assert_array_equal(target.masks[1], blob.astype(np.bool_))
    np.testing.assert_array_equal(target.masks[2], blob.astype(np.bool_))


def test_masks_that_cover_nothing_of_the_image_are_dropped_and_counted(tmp_path: Path) -> None:
    empty = official.encode(np.zeros(SIZE, np.uint8, order="F"))
    outside = [[WIDTH + 1.0, 5, WIDTH + 9.0, 5, WIDTH + 5.0, 9]]
    segmentations: list[Any] = [outside, {"size": list(SIZE), "counts": empty["counts"].decode()}]
    annotations = [{"image_id": 1, "category_id": 1, "segmentation": segmentation} for segmentation in segmentations]
    dataset = coco_dataset(tmp_path, annotations, "instance-segmentation").open()
    assert dataset.train.annotations["things"]["images/train/a.png"].objects == 0
    assert "2 instances dropped: no mask inside their image" in dataset.describe()


NO_MASKS = ([], [[]], [[1, 1, 2, 2]], [[1, 1], [3, 3, 4, 4]])


@pytest.mark.parametrize("segmentation", NO_MASKS)
def test_an_object_without_a_mask_is_a_crowd_where_its_box_is(tmp_path: Path, segmentation: Any) -> None:
    """The image must not teach that the object is not there."""
    unknown = {"image_id": 1, "category_id": 3, "bbox": [20, 10, 10, 5], "segmentation": segmentation}
    folder = coco_dataset(tmp_path, [GOOD, unknown], "instance-segmentation")
    target = rendered(folder)
    assert isinstance(target, Instances)
    assert (target.classes.tolist(), target.crowd.tolist()) == ([0, 1], [False, True])
    box = np.zeros(SIZE, np.bool_)
    box[10:15, 20:30] = True
    np.testing.assert_array_equal(target.masks[1], box)
    assert "1 objects without a mask, treated as crowds that fill their boxes" in folder.open().describe()


@pytest.mark.parametrize("bbox", [None, [1, 2], [1, 1, -3, 5]])
def test_an_object_without_mask_and_box_is_broken(tmp_path: Path, bbox: Any) -> None:
    unknown = {"image_id": 1, "category_id": 3, "bbox": bbox, "segmentation": []}
    with pytest.raises(FatalError, match=r"images/train/a\.png: train\.json: annotation 2: expected .*bbox"):
        coco_dataset(tmp_path, [GOOD, unknown], "instance-segmentation").open()


@pytest.mark.parametrize("bbox", [[WIDTH + 1, 1, 5, 5], [5, 5, 0, 5]])
def test_an_object_without_mask_whose_box_is_outside_is_dropped(tmp_path: Path, bbox: Any) -> None:
    unknown = {"image_id": 1, "category_id": 3, "bbox": bbox, "segmentation": []}
    dataset = coco_dataset(tmp_path, [GOOD, unknown], "instance-segmentation").open()
    assert dataset.train.annotations["things"]["images/train/a.png"].objects == 1
    assert "1 instances dropped: no mask inside their image" in dataset.describe()


@pytest.mark.parametrize("segmentation", NO_MASKS)
def test_a_layer_in_which_no_object_has_a_mask_is_refused(tmp_path: Path, segmentation: Any) -> None:
    unknown = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": segmentation}
    crowd = GOOD | {"iscrowd": 1}
    folder = coco_dataset(tmp_path, [unknown, unknown, crowd], "instance-segmentation", images=("a.png", "b.png"))
    complaint = r"layer 'things': train\.json: expected segmentation as polygons .*; 2 objects have neither, and there"
    with pytest.raises(FatalError, match=complaint):
        folder.open(max_bad_images=100)
    (problem, *_) = check_dataset(folder.root, "dataset", decode=False).problems
    assert problem.startswith("layer 'things': train.json: expected segmentation as polygons")
    boxes = coco_dataset(tmp_path / "boxes", [unknown, unknown]).open()
    assert boxes.train.annotations["things"]["images/train/a.png"].objects == 2, "object detection only needs boxes"


FAR = 1e9


@pytest.mark.parametrize("far", [FAR, -FAR, 1e300, 1e4])
def test_a_polygon_that_reaches_far_out_of_its_image_is_refused_before_it_is_drawn(tmp_path: Path, far: float) -> None:
    broken = GOOD | {"segmentation": [[1, 1, far, 1, 5, 5]]}
    with pytest.raises(FatalError, match=r"annotation 1: expected each polygon|annotation 1: a polygon's corner .* far outside"):
        coco_dataset(tmp_path, [broken], "instance-segmentation").open()


@pytest.mark.parametrize("far", [FAR, -FAR, 1e4])
def test_a_polygon_far_out_of_an_image_of_unstated_size_shows_when_it_is_drawn(tmp_path: Path, far: float) -> None:
    folder = coco_dataset(tmp_path, [])
    content = coco(["a.png"], [GOOD | {"segmentation": [[1, 1, far, 1, 5, 5]]}])
    del content["images"][0]["height"]
    folder.layers.clear()
    folder.json("train.json", content).layer("things", "instance-segmentation", "coco", {"train": "train.json", "val": "val.json"})
    with pytest.raises(BadSampleError, match=r"train\.json: annotation 1: a polygon's corner .* far outside the image of 60 x 40"):
        rendered(folder)
    assert any("a polygon's corner" in problem for problem in check_dataset(folder.root, "dataset", decode=False).problems)


def test_a_polygon_that_reaches_out_of_its_image_equals_pycocotools_inside(tmp_path: Path) -> None:
    polygon = [-300.0, -200.5, 400.0, 8.0, 22.5, 350.0]
    target = rendered(coco_dataset(tmp_path, [GOOD | {"segmentation": [polygon]}], "instance-segmentation"))
    assert isinstance(target, Instances)
    want = official.decode(official.merge(official.frPyObjects([polygon], HEIGHT, WIDTH)))
    np.testing.assert_array_equal(target.masks[0], want.astype(np.bool_))


GOOD = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": [[1, 1, 5, 1, 5, 5]]}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"bbox": [1, 2, 3]}, r"annotation 1: expected bbox \[x, y, width, height\]; found \[1, 2, 3\]"),
        ({"bbox": None}, "annotation 1: expected bbox"),
        ({"bbox": [0, 0, -3, 5]}, "width and height of at least 0"),
        ({"bbox": [0, 0, float("nan"), 5]}, "expected a finite bbox"),
        ({"category_id": 2}, "annotation 1: class 2 is not in the class table, which has 2 classes with ids 1 to 3"),
        ({"category_id": [1]}, "annotation 1: expected a category_id"),
        ({"category_id": "1"}, "annotation 1: class '1' is not in the class table, which has 2 classes with ids 1 to 3"),
        ({"bbox": [0, 0, 10**400, 5]}, "annotation 1: expected bbox"),
        ({"image_id": 9}, r"annotations\[0\]: expected the image_id of a listed image; KeyError\(9\)"),
    ],
)
def test_a_broken_box_is_named(tmp_path: Path, wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        coco_dataset(tmp_path, [GOOD | wrong]).open()


@pytest.mark.parametrize(
    ("segmentation", "complaint"),
    [
        (None, "expected segmentation as polygons or run lengths; found NoneType"),
        ([[1, 2, 3]], "expected each polygon as a flat list of x, y"),
        ([["a", "b"]], "expected each polygon as a flat list"),
        ([1, 2, 3, 4, 5, 6], "expected each polygon as a flat list"),
        ({"counts": [1]}, "expected run lengths with size and counts"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "counts add up to 10 pixels, expected 2400"),
        ({"size": [HEIGHT, WIDTH], "counts": 10**12}, "expected run lengths with size and counts; .*found int"),
        ({"size": [float("inf"), WIDTH], "counts": "o"}, "expected run lengths with size and counts"),
        ([[10**400, 1, 2, 2, 3, 3]], "expected each polygon as a flat list"),
        ({"size": [HEIGHT, WIDTH], "counts": "o"}, "expected run lengths with size and counts; .*malformed"),
        ({"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}, "run lengths are for 40 x 60 pixels, the listed image has 60 x 40"),
    ],
)
def test_a_broken_mask_is_named(tmp_path: Path, segmentation: Any, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        coco_dataset(tmp_path, [GOOD | {"segmentation": segmentation}], "instance-segmentation").open()


def test_compressed_run_lengths_that_do_not_add_up_show_when_they_are_read(tmp_path: Path) -> None:
    short = official.encode(np.ones((HEIGHT - 1, WIDTH), np.uint8, order="F"))["counts"].decode()
    folder = coco_dataset(tmp_path, [GOOD | {"segmentation": {"size": list(SIZE), "counts": short}}], "instance-segmentation")
    with pytest.raises(BadSampleError, match=r"train\.json: annotation 1: run lengths cannot be decoded"):
        rendered(folder)


def test_a_broken_annotation_leaves_the_other_images(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, [GOOD, GOOD | {"image_id": 2, "category_id": 7}], images=("a.png", "b.png"))
    assert folder.open(max_bad_images=1).train.images == ("images/train/a.png",)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "train/../../secret.png"])
def test_a_file_name_that_leads_out_of_the_dataset_is_refused(tmp_path: Path, name: str) -> None:
    DatasetFolder(tmp_path).image("secret.png")
    folder = coco_dataset(tmp_path / "dataset", [], images=("a.png",)).json("train.json", coco([name]))
    with pytest.raises(FatalError, match="leads out of the dataset; expected a relative path without"):
        folder.open(max_bad_images=100)


def test_file_names_may_have_folders_and_images_may_be_missing(tmp_path: Path) -> None:
    content = coco(["train/a.png", "gone.png"], [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}])
    folder = coco_dataset(tmp_path, []).json("train.json", content).image("images/val/a.png")
    assert folder.open(max_bad_images=1).train.images == ("images/train/a.png",)
    assert folder.said == ["skipped train.json: gone.png: no image 'gone.png' in 'images'"]


def test_an_image_listed_twice_is_counted(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, []).json("train.json", coco(["a.png", "train/a.png"]))
    folder.open(max_bad_images=1)
    assert "already" in folder.said[0]


def test_an_id_shared_by_two_images_is_refused(tmp_path: Path) -> None:
    """Two files were merged without new ids, so the boxes could belong to either image."""
    content = coco(["a.png", "b.png"], [GOOD])
    content["images"][1]["id"] = 1
    folder = coco_dataset(tmp_path, [], images=("a.png", "b.png")).json("train.json", content)
    with pytest.raises(FatalError, match=r"layer 'things': train\.json: images: id 1 is both 'a\.png' and 'b\.png'"):
        folder.open(max_bad_images=100)
    content["images"][0]["file_name"] = "gone.png"
    with pytest.raises(FatalError, match=r"images: id 1 is both 'gone\.png' and 'b\.png'"):
        folder.json("train.json", content).open(max_bad_images=100)


@pytest.mark.parametrize("image_id", [[1], {"a": 1}, None])
def test_an_image_without_a_valid_id_is_counted(tmp_path: Path, image_id: Any) -> None:
    content = coco(["a.png", "b.png"])
    content["images"][1]["id"] = image_id
    folder = coco_dataset(tmp_path, [], images=("a.png", "b.png")).json("train.json", content)
    assert folder.open(max_bad_images=1).train.images == ("images/train/a.png",)
    assert folder.said[0].startswith("skipped train.json: images[1]: expected an id that is a number or text; found ")


def dataset_of_categories(root: Path, categories: Any, task: str, **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root).image("images/train/a.png").image("images/val/v.png")
    for split, image in (("train", "a.png"), ("val", "v.png")):
        folder.json(f"{split}.json", coco([image]) | {"categories": categories})
    return folder.layer("things", task, "coco", {"train": "train.json", "val": "val.json"}, **fields)


NO_CATEGORIES = [
    (5, "layer 'things': categories: expected a list of objects with id and name; found int"),
    ({"1": "cat"}, "expected a list of objects with id and name; found dict"),
    ([None], "expected objects with id and name; found None"),
    (["cat"], "expected objects with id and name; found 'cat'"),
]


@pytest.mark.parametrize(
    ("categories", "complaint"),
    [
        *NO_CATEGORIES,
        (None, "the classes have no names"),
        ([{"id": float("inf"), "name": "cat"}], "expected objects with id and name"),
    ],
)
def test_categories_that_are_not_a_list_of_objects_are_refused(tmp_path: Path, categories: Any, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint) as caught:
        dataset_of_categories(tmp_path, categories, "object-detection").open()
    assert "not understood" not in caught.value.message


@pytest.mark.parametrize(("categories", "complaint"), NO_CATEGORIES)
def test_only_categories_that_are_objects_are_searched_for_keypoints(tmp_path: Path, categories: Any, complaint: str) -> None:
    fields: dict[str, Any] = {"classes": ["cat"], "keypoints": ["nose"]}
    with pytest.raises(FatalError, match=complaint) as caught:
        dataset_of_categories(tmp_path / "a", categories, "keypoint-detection", **fields).open()
    assert "not understood" not in caught.value.message
    heads = dataset_of_categories(tmp_path / "b", None, "keypoint-detection", **fields).open().heads
    assert heads[0].labels.keypoints == ("nose",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "train.json: not JSON"),
        ("[]", "expected COCO's list 'images'; found: a list"),
        ('{"images": [], "info": 1}', "expected COCO's list 'annotations'; found: images, info"),
    ],
)
def test_a_file_that_is_not_coco_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        coco_dataset(tmp_path, []).text("train.json", content).open()


def test_categories_without_annotations_that_repeat_a_name_are_left_out(tmp_path: Path) -> None:
    """Roboflow adds one for the dataset, which may have the name of one of its classes."""
    categories = {0: "cat", 1: "cat", 2: "dog"}
    content = coco(["a.png"], [{"image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 10]}], categories)
    folder = coco_dataset(tmp_path, []).json("train.json", content).json("val.json", coco(["v.png"], [], categories))
    assert folder.open().heads[0].labels.classes == ("cat", "dog")
    both = [{"image_id": 1, "category_id": class_id, "bbox": [10, 5, 20, 10]} for class_id in (0, 1)]
    folder.json("train.json", coco(["a.png"], both, categories))
    with pytest.raises(FatalError, match="classes 0 and 1 are both called 'cat'"):
        folder.open()


def test_categories_may_not_contradict_each_other(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, []).json("val.json", coco(["v.png"], categories={1: "bird"}))
    with pytest.raises(FatalError, match="id 1 is 'cat' in one split and 'bird' in another"):
        folder.open()
    with pytest.raises(FatalError, match="the classes have no names"):
        folder.json("train.json", coco(["a.png"]) | {"categories": []}).json(
            "val.json", coco(["v.png"]) | {"categories": []}
        ).open()


PERSON = {
    "id": 1,
    "name": "person",
    "keypoints": ["nose", "left_eye", "right_eye"],
    "skeleton": [[1, 2], [1, 3]],
}
OBJECT = {"image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 10], "area": 77.5}


def keypoint_dataset(root: Path, *annotations: dict[str, Any], category: dict[str, Any] = PERSON, **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root).image("images/train/a.png").image("images/val/v.png")
    folder.json("train.json", coco(["a.png"], annotations) | {"categories": [category]})
    folder.json("val.json", coco(["v.png"]) | {"categories": [category]})
    return folder.layer("people", "keypoint-detection", "coco", {"train": "train.json", "val": "val.json"}, **fields)


def keypoints_of(folder: DatasetFolder) -> KeypointList:
    annotation = folder.open().train.annotations["people"]["images/train/a.png"]
    assert isinstance(annotation, KeypointList)
    return annotation


def test_keypoints_are_at_the_centres_of_pixels(tmp_path: Path) -> None:
    folder = keypoint_dataset(tmp_path, OBJECT | {"keypoints": [12, 6, 2, 0, 0, 0, 20, 8, 1], "iscrowd": 1})
    target = keypoints_of(folder).render(letterbox(SIZE, SIZE))
    assert target.keypoints.tolist() == [[[12.5, 6.5], [0, 0], [20.5, 8.5]]]
    assert target.visibility.tolist() == [[2, 0, 1]]
    assert (target.area.tolist(), target.crowd.tolist()) == ([77.5], [True])
    labels = folder.open().heads[0].labels
    assert (labels.keypoints, labels.mirrored) == (("nose", "left_eye", "right_eye"), (0, 2, 1))
    assert labels.skeleton == ((0, 1), (0, 2)), "counted from 0"
    assert labels.sigmas == (0.05,) * 3, "the default, since no sigmas are known"


def test_objects_without_keypoints_count_for_boxes(tmp_path: Path) -> None:
    without = {key: value for key, value in OBJECT.items() if key != "area"}
    folder = keypoint_dataset(tmp_path, without, OBJECT | {"keypoints": []}, OBJECT | {"keypoints": [0] * 9})
    keypoints = keypoints_of(folder)
    assert not keypoints.visibility.any()
    np.testing.assert_allclose(keypoints.area, [0.53 * 200, 77.5, 77.5])
    said = folder.open().describe()
    assert "3 objects without a labelled keypoint, used only for boxes" in said
    assert any("can learn only boxes: no object to train on" in line for line in folder.said)


def test_keypoints_outside_the_image_are_not_labelled(tmp_path: Path) -> None:
    folder = keypoint_dataset(tmp_path, OBJECT | {"keypoints": [12, 6, 2, WIDTH + 3, 8, 2, 20, -4, 1]})
    assert keypoints_of(folder).visibility.tolist() == [[2, 0, 0]]
    assert "2 keypoints outside their image treated as not labelled" in folder.open().describe()


@pytest.mark.parametrize(
    ("annotation", "complaint"),
    [
        ({"keypoints": [1, 2, 2]}, r"train\.json: annotation 1: expected keypoints as 3 × 3 numbers: x, y, visibility"),
        ({"keypoints": ["a"] * 9}, "expected keypoints as 3 × 3 numbers"),
        ({"keypoints": [1, 2, 3] * 3}, "expected finite keypoints with 0, 1 or 2 as visibility"),
        ({"keypoints": [float("nan"), 2, 2] * 3}, "expected finite keypoints"),
        ({"bbox": None}, "expected bbox"),
        ({"area": -1}, "expected an area of at least 0; found -1"),
        ({"area": "x"}, "expected an area of at least 0"),
    ],
)
def test_broken_keypoints_are_named(tmp_path: Path, annotation: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        keypoint_dataset(tmp_path, OBJECT | annotation).open()


@pytest.mark.parametrize(
    ("category", "complaint"),
    [
        ({"id": 1, "name": "person"}, r"layer 'people': keypoints: expected the keypoints' names in order"),
        (PERSON | {"skeleton": [[1, 9]]}, "skeleton: expected pairs of indices from 0 to 2"),
        (PERSON | {"skeleton": [1]}, "expected keypoints as names and skeleton as pairs of numbers"),
    ],
)
def test_categories_without_sensible_keypoints_are_refused(tmp_path: Path, category: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        keypoint_dataset(tmp_path, category=category).open()


def test_all_categories_have_the_same_keypoints(tmp_path: Path) -> None:
    folder = keypoint_dataset(tmp_path).json("val.json", coco(["v.png"]) | {"categories": [PERSON | {"skeleton": []}]})
    with pytest.raises(FatalError, match="categories: expected the same keypoints in all; 'person' has others"):
        folder.open()


def test_dataset_json_may_name_keypoints_if_the_file_does_not(tmp_path: Path) -> None:
    nameless = {"id": 1, "name": "person"}
    folder = keypoint_dataset(tmp_path, OBJECT | {"keypoints": [1, 1, 2] * 2}, category=nameless, keypoints=["left", "right"])
    labels = folder.open().heads[0].labels
    assert (labels.keypoints, labels.mirrored) == (("left", "right"), (1, 0))
