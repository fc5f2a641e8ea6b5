"""docs/results.md, generated from the results in measured/ alone."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from headrace_api.heads import Head
from headrace_api.tasks import Task
from tasks import measured
from tasks.all_rows import ROWS
from tasks.datasets import DigitScenes
from tasks.digits import (
    CARDS,
    COST_ITERATIONS,
    FEW_LABELS,
    FEW_LABELS_BATCH,
    FEW_LABELS_RUNS,
    IDENTITIES,
    JOINT_TASKS,
    LOSS_WEIGHTS,
    SCENES,
    SEEDS,
    SHEETS,
    STRIPS,
    TEXTURES,
    FewLabels,
    name_of_alone,
    name_of_few_labels,
    name_of_joint,
    name_of_start,
)
from tasks.rows import Row

Result = Mapping[str, Any]

SCORES: Mapping[Task, tuple[str, ...]] = {
    Task.PANOPTIC_SEGMENTATION: ("PQ", "SQ", "RQ"),
    Task.INSTANCE_SEGMENTATION: ("AP", "AP50", "AP75"),
    Task.SEMANTIC_SEGMENTATION: ("mIoU", "pixelAccuracy"),
    Task.KEYPOINT_DETECTION: ("AP", "AP50", "AP75"),
    Task.QUADRILATERAL_DETECTION: ("AP", "AP50", "AP75"),
    Task.OBJECT_DETECTION: ("AP", "AP50", "AP75"),
    Task.MULTILABEL_CLASSIFICATION: ("mAP", "macroF1"),
    Task.MULTICLASS_CLASSIFICATION: ("top1", "macroF1", "calibrationError"),
    Task.METRIC_LEARNING: ("recallAt1", "recallAt5", "mAP"),
    Task.REGRESSION: ("R2", "MAE", "RMSE"),
    Task.DEPTH_ESTIMATION: ("delta1", "AbsRel", "RMSE"),
    Task.ANOMALY_DETECTION: ("imageAUROC", "pixelAUROC"),
    Task.TEXT_RECOGNITION: ("exactMatch", "CER"),
    Task.AUTOENCODING: ("psnr",),
    Task.VIEW_INVARIANCE: ("knnAccuracy",),
}
"""Which scores of a task are shown; the first one compares runs with several heads."""
LESS_IS_BETTER = {"MAE", "RMSE", "AbsRel", "CER", "calibrationError"}
_BY_NAME = {row.name: row for row in ROWS}

_INTRODUCTION = """# What the tasks learn

`make bench-tasks` writes this page from the files in `tests/bench/tasks/measured/`, and first trains any run that is missing
there. Each run is a training as you would start it, `headrace train JOB.yaml --dataset FOLDER --output FOLDER`. Its scores are
those that the trainer writes into the run folder: each head's [official metric](trainer.md#heads), on images held out from
training unless a table says otherwise. The baseline is a trivial answer, scored by the same metric. ↓ marks scores where less
is better.

- **Small on purpose.** A ResNet-18 without its last stage and a pyramid of 64 channels, from random weights, on small images,
  for hundreds of iterations of 16 images (cards: 32; photographs: a whole ResNet-18, 8). All rows share the optimizer (AdamW at
  0.002, photographs 0.001, text 0.0007) and schedule. We changed three things after a first try that learned little: smaller
  and more cards (top1 was 0.20 with 3,000 of 64 × 64), fewer identities (recallAt1 was 0.04 with 1,000), and a lower learning
  rate for text (at 0.002, CER was 0.87 after 500 iterations and 0.91 after 1,200). The other rows were not tuned; some may also
  want a lower rate. Larger networks and longer training score higher; these runs do not show by how much.
- **One seed per row**, unless the table shows several. Differences of a few hundredths mean nothing.
- **CPU time** is for one thread of a shared x86 server, including start-up, evaluation and export. Use it to compare rows, not
  machines.
- **Not measured, not claimed**: accuracy on COCO, ImageNet or any other benchmark, with pretrained weights, or on a GPU. The few
  photographs below show that heads learn from real annotations in real formats, not how well they would generalise."""


def _images(data: DigitScenes, height: int | None = None) -> str:
    return f"{height or data.size} × {data.size} pixels, {data.train:,} to train on and {data.val} to score on"


_DIGITS = f"""## Each task alone, on digit scenes

[Digit scenes](datasets.md) are generated: real scans of handwritten digits on photographed textures
(`python -m headrace_scenes`). No scan appears in both train and held-out images; the textures are different crops of the same
photographs.

- Scenes of one to five digits, {_images(SCENES)}. Boxes, masks, segments and quadrilaterals have ten classes; keypoints are the
  corners of digits, in one class; multilabel asks which digits there are, regression asks how many. Regions and depth use the
  same scenes. Keypoints are scored with OKS constants of 0.05 and the area of the rectangle.
- Cards with one digit, rotated by up to 60°, {_images(CARDS)}. Multiclass asks which digit it is.
  The self-supervised tasks use the cards too; view invariance is scored by the digits of an image's nearest neighbours.
- Metric learning: fewer cards, {IDENTITIES.train:,} and {IDENTITIES.val}, six of each scan. It asks which scan it is, among
  scans never seen in training.
- Strips, {_images(STRIPS, STRIPS.size // 3)}: text of one to six digits.
- Sheets of nine noughts, {_images(SHEETS)}. In every second held-out sheet, one nought is
  replaced by another digit."""

_WEAK = """Keypoints, scene labels and identities got more iterations than similar tasks, because they had learned little in as
many (AP 0.105 and mAP 0.374 in 500, recallAt1 0.225 in 1000). Two tasks are still weak: few scene labels are certain enough to
be predicted (macroF1), and view invariance on cards tells digits apart no better than random weights ([why](#without-labels))."""

_MULTITASK = """## Five tasks at once

One network with five heads, compared with five networks with one head each, on the same images, with the same seeds,
iterations and settings. Losses are summed with all weights 1; then with learned weights (`lossWeights: uncertainty`); then with
a weight of 2 for regions, the head that loses most. Ratios compare means over seeds. The goal was a ratio of at least 0.95, in
0.55 of the time. The last variant meets it; with all weights 1, regions miss it."""

_NECKS = """## Necks

Object detection on the digit scenes from above, with 64 channels in each neck. A model that names no neck has none."""

_SEMI = f"""## Few labels

The angle of a digit, in degrees, learned from {FEW_LABELS.labelled_share:.0%} of {FEW_LABELS.train:,} images: without the
other images, and with a self-supervised head that learns from all of them. Batches have {FEW_LABELS_BATCH} images unless a line
says otherwise; the held-out images are the same. Without the second head, every image of a batch has a label; with it, at least
a quarter of them have one (`sampler: balanced`). The runs with batches of a quarter of the size have seen about as many labels
as those with a second head. The runs with batches four times as large have as many labels per batch as regression alone, plus
the other images, as FixMatch counts (Sohn et al. 2020, https://arxiv.org/abs/2001.07685). Seeds change the initial weights and
the order of images, not which images have labels."""

_OF_SEMI = """When a batch has few labels, either second head helps. When a batch has as many labels as fit, it does not help:
neither with unlabelled images added, nor in four times the iterations, which show the few labels four times as often. It may
differ if your unlabelled images say more about the task: try it on your data, and compare with the head alone."""

_VIEWS = f"""## Without labels

How often an image's nearest neighbours, by the features of view invariance, are of its kind. In one case the kind fills the image:
textures, {_images(TEXTURES)}. In the other it does not: the cards from above. Two views of a card share
its background as well as its digit, and the easier cue suppresses the other (known for such losses: Chen et al. 2021,
https://arxiv.org/abs/2011.02803)."""

_PHOTOS = """## Photographs

Real images with human annotations, trained from random weights."""


def page() -> str:
    """The whole page."""
    blocks = [
        *(_INTRODUCTION, _DIGITS, _table_of_tasks("digits/"), _WEAK),
        *(_MULTITASK, *_five_at_once()),
        *(_NECKS, _table(("neck", "AP", "AP50", "AP75", "CPU minutes"), _lines_of_necks())),
        *(_SEMI, _few_labels(), _OF_SEMI),
        *(_VIEWS, _table(("images", "knnAccuracy", "random weights", "iterations", "CPU minutes"), _lines_of_views())),
        *(_PHOTOS, *_photographs()),
    ]
    return "\n\n".join(blocks) + "\n"


def _table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _heads(row: Row) -> list[Head]:
    return [Head.model_validate(head) for head in row.model["heads"]]


def _score(name: str) -> str:
    return f"{name} ↓" if name in LESS_IS_BETTER else name


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{round(value, 3) + 0.0:.3f}"  # never "-0.000"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def _results(prefix: str) -> Iterator[tuple[Row, Result | None]]:
    return ((row, measured.read(row)) for row in ROWS if row.name.startswith(prefix))


def _table_of_tasks(prefix: str) -> str:
    header = ("task", "score", "trained", "baseline", "what the baseline does", "iterations", "CPU minutes")
    return _table(header, _lines_of_tasks(prefix))


def _lines_of_tasks(prefix: str) -> Iterator[Sequence[str]]:
    """One line per score; a head's first line also has what its scores share."""
    for row, result in _results(prefix):
        for number, head in enumerate(_heads(row)):
            if result is None:
                yield (head.task.words, "not measured", *[""] * 5)
                continue
            baseline = result["baselines"].get(head.name, {"what": "", "scores": {}})
            stale = "" if measured.up_to_date(row) else " (of an earlier definition)"
            of_run = (f"{result['iterations']}{stale}", _minutes(result["cpu_seconds"])) if number == 0 else ("", "")
            for line, name in enumerate(SCORES[head.task]):
                first = (head.task.words, baseline["what"], *of_run) if line == 0 else ("", "", "", "")
                trained, simplest = result["scores"].get(head.name, {}).get(name), baseline["scores"].get(name)
                yield (first[0], _score(name), _number(trained), _number(simplest), *first[1:])


def _five_at_once() -> Iterator[str]:
    header = ("head", "score", "alone", "one of five", "ratio", "per seed", "learned", "ratio", "regions twice", "ratio")
    yield _table(header, _lines_of_joint())
    together = _cost(name_of_joint(SEEDS[0]), "five-heads")
    costs = [cost for name in JOINT_TASKS if (cost := _cost(name_of_alone(name, SEEDS[0]), name)) is not None]
    if together is not None and len(costs) == len(JOINT_TASKS):
        yield (
            f"One iteration of all five together takes {together:.2f} s of CPU; the five alone take {sum(costs):.2f} s in total.\n"
            f"The joint network needs {together / sum(costs):.2f} of that. (Measured as the time of a run above minus that of a "
            f"run of its first\n{COST_ITERATIONS} iterations, divided by the iterations in between; first seed.)"
        )


def _lines_of_joint() -> Iterator[Sequence[str]]:
    for name, task in JOINT_TASKS.items():
        score = SCORES[Task(task)][0]
        fixed, *others = (list(_alone_and_joint(name, score, loss_weights)) for loss_weights in LOSS_WEIGHTS)
        of_each = ", ".join(f"{joint / alone:.3f}" for alone, joint in fixed)
        with_others = [word for pairs in others for word in _compared(pairs)[1:]]
        yield (f"{name}: {Task(task).words}", score, *_compared(fixed), of_each, *with_others)


def _alone_and_joint(head: str, score: str, loss_weights: str) -> Iterator[tuple[float, float]]:
    """The pairs of scores, for each seed with both measured."""
    for seed in SEEDS:
        alone = measured.read(_BY_NAME[name_of_alone(head, seed)])
        joint = measured.read(_BY_NAME[name_of_joint(seed, loss_weights)])
        if alone and joint:
            yield alone["scores"]["head"][score], joint["scores"][head][score]


def _compared(pairs: Sequence[tuple[float, float]]) -> tuple[str, str, str]:
    """(the first of each pair, the second, the ratio of their means)"""
    alone, joint = [one for one, _ in pairs], [one for _, one in pairs]
    return _spread(alone), _spread(joint), f"{mean(joint) / mean(alone):.3f}" if pairs else "–"


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return _number(values[0] if values else None)
    return f"{_number(mean(values))} ± {_number(stdev(values))}"


def _value(result: Result | None, head: str, score: str) -> float | None:
    return None if result is None else float(result["scores"][head][score])


def _cost(row: str, start_of: str) -> float | None:
    """Seconds of CPU per iteration."""
    whole, start = (measured.read(_BY_NAME[name]) for name in (row, name_of_start(start_of)))
    if whole is None or start is None:
        return None
    return float((whole["cpu_seconds"] - start["cpu_seconds"]) / (whole["iterations"] - start["iterations"]))


def _lines_of_necks() -> Iterator[Sequence[str]]:
    for neck, name in (("fpn", "digits/object-detection"), ("biFpn", "necks/bi-fpn"), ("hybridEncoder", "necks/hybrid-encoder")):
        result = measured.read(_BY_NAME[name])
        scores = [_number(_value(result, "head", score)) for score in SCORES[Task.OBJECT_DETECTION]]
        yield (f"`{neck}`", *scores, _minutes(result["cpu_seconds"]) if result else "–")


def _lines_of_views() -> Iterator[Sequence[str]]:
    for images, name in (("textures", "views/textures"), ("digits on textures", "digits/view-invariance")):
        result = measured.read(_BY_NAME[name])
        if result is None:
            yield (images, "not measured", *[""] * 3)
            continue
        trained, random = result["scores"]["head"], result["baselines"]["head"]["scores"]
        cost = (str(result["iterations"]), _minutes(result["cpu_seconds"]))
        yield (images, _number(trained["knnAccuracy"]), _number(random["knnAccuracy"]), *cost)


_OF_SECOND_HEADS = {
    "alone": "regression alone",
    "alone-small-batches": "regression alone, batches of a quarter",
    "with-views": "with view invariance",
    "with-views-large-batches": "with view invariance, batches four times as large",
    "with-reconstruction": "with autoencoding",
}


def _few_labels() -> str:
    runs = {run: [measured.read(_BY_NAME[name_of_few_labels(run, seed)]) for seed in SEEDS] for run in FEW_LABELS_RUNS}
    whole = {run: [result for result in results if result] for run, results in runs.items() if all(results)}
    if FEW_LABELS_RUNS[0] not in whole:
        return "Not measured."
    header = ("", "iterations", *(f"seed {seed}" for seed in SEEDS), "mean ± deviation", "CPU minutes")
    return _table(header, _lines_of_seeds(whole))


def _lines_of_seeds(found: Mapping[FewLabels, Sequence[Result]]) -> Iterator[Sequence[str]]:
    simplest = found[FEW_LABELS_RUNS[0]][0]["baselines"]["angle"]
    for score in SCORES[Task.REGRESSION][:2]:
        for run, results in found.items():
            values = [result["scores"]["angle"][score] for result in results]
            minutes = _minutes(mean(result["cpu_seconds"] for result in results))
            words = f"{_score(score)}, {_OF_SECOND_HEADS[run.kind]}"
            yield (words, str(run.iterations), *map(_number, values), _spread(values), minutes)
        yield (f"{_score(score)}, {simplest['what']}", "", *[""] * len(SEEDS), _number(simplest["scores"][score]), "")


_OF_PHOTOS = {
    "photos/bccd": """**Blood cells** (BCCD, 640 × 480 pixels, scaled to 224 × 168): boxes of three kinds of cells in Pascal VOC
format, trained on its train split of 205 images, scored on its val split of 87.""",
    "photos/coco128-learnt": """**COCO128, memorised**: 8 images of COCO's train2017, scaled to 160 × 160, one network with four
heads, scored on the images it was trained on. This shows what the heads can fit, not how they generalise.""",
    "photos/coco-keypoints-learnt": """**COCO people, memorised**: the same with 8 images, scaled to 192 × 192, and 17 keypoints per
person. This many iterations are too few.""",
    "photos/icdar-learnt": """**ICDAR 2015, memorised**: the same with 8 images of signs and shops, scaled to 384 × 216, where most
words are a few pixels high.""",
}


def _photographs() -> Iterator[str]:
    for name, words in _OF_PHOTOS.items():
        yield words
        yield _table_of_tasks(name)
