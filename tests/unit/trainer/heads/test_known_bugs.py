"""Bugs of an earlier multi-head library, each with the tests that catch it: we planted each in a copy of the code to see them fail.

One of the bugs is a test: `assert loss.item()`, which NaN passes. The last test checks that ours contain no such assertion.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from headrace_api.tasks import Task
from headrace_testing.head_cases import answer, make_features, make_head, make_targets
from headrace_trainer.heads.base import REGISTRY

SIZE = (32, 32)
TRAINER = Path(__file__).parents[1]

NOTICED_BY = {
    "batch normalisation frozen after visualising": (
        "worker/test_evaluate.py::test_evaluating_and_drawing_leave_the_network_unchanged_and_able_to_learn",
        "worker/test_frozen_levels.py::test_visualising_leaves_batch_normalisation_in_the_mode_it_was_in",
    ),
    "optimizer state attached to the wrong parameters on resume": (
        "worker/test_optimizer.py::test_state_goes_back_to_the_parameters_it_came_from",
    ),
    "NaN or infinity on empty batches": (
        "heads/test_contract.py::test_no_labelled_image_gives_zero_loss_and_zero_gradients",
        "heads/test_object_detection.py::test_images_without_objects_teach_what_is_not_there",
    ),
    "top-k crash on small inputs": (
        "heads/test_contract.py::test_loss_terms_are_finite_scalars",
        "heads/test_contract.py::test_predictions_are_finite_and_drawn_on_an_enlarged_copy",
        "heads/test_object_detection.py::test_fewer_cells_than_detections_are_padded",
        "heads/test_known_bugs.py::test_one_cell_and_one_class_are_enough",
    ),
    "keypoints wrong on images that are not square": (
        "data/annotations/test_annotations.py::test_keypoints_land_where_boxes_do_on_images_that_are_not_square",
    ),
    "ignore_index 0 lost": ("data/formats/test_masks.py::test_the_ignored_value_is_not_a_class",),
    "ArcFace scale 0 for two identities": ("heads/test_metric_learning.py::test_two_identities_are_told_apart",),
    "micro-averaged accuracy shown as precision and recall": (
        "heads/test_multiclass_classification.py::test_precision_and_recall_are_told_apart_by_macro_f1",
    ),
    "corners of quadrilaterals jumping": (
        "data/annotations/test_annotations.py::test_corners_never_jump_as_a_quadrilateral_turns",
        "data/annotations/test_annotations.py::test_corners_stay_clockwise_and_begin_at_the_top_left_under_any_geometry",
    ),
    "depth crash without a valid pixel": (
        "heads/test_depth_estimation.py::test_an_image_without_a_known_pixel_does_not_crash_and_counts_for_nothing",
        "heads/test_depth_estimation.py::test_a_batch_without_a_known_pixel_has_a_loss_of_zero",
    ),
}


@pytest.mark.parametrize("bug", NOTICED_BY)
def test_the_tests_that_catch_it_exist(bug: str) -> None:
    for name in NOTICED_BY[bug]:
        file, test = name.split("::")
        assert f"def {test}(" in (TRAINER / file).read_text(), name


@pytest.mark.parametrize("task", sorted(REGISTRY), ids=lambda task: task.value)
def test_one_cell_and_one_class_are_enough(task: Task) -> None:
    """Code that picks the best few finds fewer than it expects; so does its picture."""
    head = make_head(task, classes=1, levels=(5,))
    features = make_features(2, SIZE, levels=(5,))
    terms = head.loss(answer(head, features), make_targets(task, 2, SIZE, classes=1), torch.tensor([True, True]))
    assert all(torch.isfinite(term) for term in terms.values())
    with torch.no_grad():
        predictions = head.eval().decode(head(features), SIZE)
    assert all(torch.isfinite(value).all() for value in predictions.values())
    assert head.draw(np.zeros((*SIZE, 3), np.uint8), predictions, 0).dtype == np.uint8


def proves_nothing(code: str) -> Iterator[str]:
    """Assertions in `code` that pass for every number but 0, so for NaN too."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Assert) and _is_a_number(node.test):
            yield f"line {node.lineno}: assert {ast.unparse(node.test)}"


def _is_a_number(node: ast.expr) -> bool:
    """Whether an expression is `….item()`, or has the name of a loss."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "item"
    return "loss" in ast.unparse(node).rpartition(".")[2] if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) else False


def test_nan_passes_no_test() -> None:
    weak = ["assert loss.item()", "assert loss", "assert terms['loss']"]
    sound = ["assert loss > 0", "assert loss.isfinite()", "assert loss.item() == 0"]
    assert list(proves_nothing("\n".join([*weak, *sound]))) == [f"line {line}: {code}" for line, code in enumerate(weak, start=1)]
    assert not {path: found for path in TRAINER.rglob("*.py") if (found := list(proves_nothing(path.read_text())))}
