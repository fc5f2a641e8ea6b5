"""Compared with panopticapi's algorithm (https://github.com/cocodataset/panopticapi, evaluation.py), with dictionaries."""

from collections import Counter

import numpy as np
import pytest
import torch

from headrace_trainer.ops.panoptic_quality import Segments, count_matches, no_counts, panoptic_quality

CLASSES, THINGS = 4, torch.tensor([True, True, False, False])
VOID = -1


def oracle(scenes: list[dict[str, np.ndarray]]) -> dict[str, float]:
    tp, fp, fn, iou_sum = Counter(), Counter(), Counter(), Counter()
    for scene in scenes:
        truth, found, crowd = scene["truth"], scene["found"], scene["crowd"]
        true_class, found_class = dict(enumerate(scene["true_classes"])), dict(enumerate(scene["found_classes"]))
        common = Counter(zip(truth.flatten().tolist(), found.flatten().tolist(), strict=True))
        area, found_area = Counter(truth.flatten().tolist()), Counter(found.flatten().tolist())
        matched, matched_found = set(), set()
        for (t, f), intersection in common.items():
            if VOID in (t, f) or crowd[t] or true_class[t] != found_class[f]:
                continue
            iou = intersection / (area[t] + found_area[f] - intersection - common[VOID, f])
            if iou > 0.5:
                tp[true_class[t]] += 1
                iou_sum[true_class[t]] += iou
                matched.add(t)
                matched_found.add(f)
        crowd_of_class = {}
        for t in set(area) - {VOID} - matched:
            if crowd[t]:
                crowd_of_class[true_class[t]] = t
            else:
                fn[true_class[t]] += 1
        for f in set(found_area) - {VOID} - matched_found:
            excused = common[VOID, f]
            if found_class[f] in crowd_of_class:
                excused += common[crowd_of_class[found_class[f]], f]
            if excused / found_area[f] <= 0.5:
                fp[found_class[f]] += 1
    return means(tp, fp, fn, iou_sum)


def means(tp: Counter, fp: Counter, fn: Counter, iou_sum: Counter) -> dict[str, float]:
    rows = {}
    for label in set(tp) | set(fp) | set(fn):
        segments = tp[label] + 0.5 * fp[label] + 0.5 * fn[label]
        rows[label] = (iou_sum[label] / segments, iou_sum[label] / tp[label] if tp[label] else 0.0, tp[label] / segments)
    pq, sq, rq = np.mean(list(rows.values()), axis=0)
    of = {
        name: np.mean([row[0] for label, row in rows.items() if THINGS[label] == kind])
        for name, kind in (("T", True), ("S", False))
    }
    return {"PQ": pq, "SQ": sq, "RQ": rq, "PQthings": of["T"], "PQstuff": of["S"]}


def random_scene(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Blocks of segments, some void; predictions that are moved, relabelled, merged or void; at most one crowd per class."""
    truth = np.kron(rng.integers(VOID, 8, (5, 6)), np.ones((4, 5), np.int64)).astype(np.int64)
    found = np.roll(truth, rng.integers(0, 2, 2), (0, 1))
    found[found == rng.integers(0, 8)] = rng.integers(VOID, 8)
    found[rng.random(found.shape) < 0.05] = VOID
    classes = rng.integers(0, CLASSES, 8)
    crowd = np.zeros(8, np.bool_)
    crowd[rng.choice(8, 2, replace=False)] = True
    crowd &= [not any(crowd[:i] & (classes[:i] == label)) for i, label in enumerate(classes)]
    found_classes = np.where(rng.random(8) < 0.8, classes, rng.integers(0, CLASSES, 8))
    return {"truth": truth, "found": found, "true_classes": classes, "found_classes": found_classes, "crowd": crowd}


def scores(scenes: list[dict[str, np.ndarray]], padding: int = 0) -> dict[str, float]:
    """The scores from the code under test, with rows of padding."""
    stacked = {key: torch.from_numpy(np.stack([scene[key] for scene in scenes])) for key in scenes[0]}
    padded = {key: torch.nn.functional.pad(stacked[key], (0, padding)) for key in ("true_classes", "found_classes", "crowd")}
    segments = {}
    for kind, classes in (("truth", padded["true_classes"]), ("found", padded["found_classes"])):
        there = torch.stack([(stacked[kind] == number).flatten(1).any(dim=1) for number in range(classes.shape[1])], dim=1)
        segments[kind] = Segments(stacked[kind], classes, there)
    counts = count_matches(segments["truth"], padded["crowd"], segments["found"], CLASSES)
    return panoptic_quality(no_counts(CLASSES) + counts, THINGS)


@pytest.mark.parametrize("seed", range(8))
def test_scores_equal_panopticapi(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng) for _ in range(10)]
    want = oracle(scenes)
    assert 0.1 < want["PQ"] < 0.9
    assert scores(scenes) == pytest.approx(want, abs=1e-12)
    assert scores(scenes, padding=3) == pytest.approx(want, abs=1e-12)


def one_scene(truth: list[list[int]], found: list[list[int]], crowd: bool = False) -> dict[str, np.ndarray]:
    """All segments have class 0, except the second true one, which has class 1."""
    return {
        "truth": np.asarray(truth),
        "found": np.asarray(found),
        "true_classes": np.asarray([0, 1]),
        "found_classes": np.asarray([0, 0]),
        "crowd": np.asarray([crowd, False]),
    }


def test_half_an_overlap_is_not_a_match() -> None:
    assert scores([one_scene([[0, 0]], [[0, VOID]])])["PQ"] == 0


def test_void_pixels_of_the_truth_do_not_lower_the_overlap() -> None:
    assert scores([one_scene([[0, 0, VOID, VOID]], [[0, 0, 0, 0]])])["PQ"] == 1


def test_a_prediction_on_void_or_on_a_crowd_of_its_class_is_not_a_mistake() -> None:
    on_void = one_scene([[0, 0, VOID, VOID, VOID]], [[0, 0, 1, 1, VOID]])
    assert scores([on_void])["RQ"] == 1
    on_crowd = one_scene([[1, 1, 0, 0, 0]], [[VOID, VOID, 0, 0, 0]], crowd=True)
    assert scores([on_crowd])["RQ"] == 0  # only the second true segment counts, and it is missed
    assert np.isnan(scores([one_scene([[0, 0]], [[0, 0]], crowd=True)])["PQ"])


def test_a_class_that_is_only_predicted_counts_as_wrong() -> None:
    right_and_wrong = one_scene([[1, 1, 1, 1]], [[0, 0, 0, 0]])
    assert scores([right_and_wrong])["PQ"] == 0
