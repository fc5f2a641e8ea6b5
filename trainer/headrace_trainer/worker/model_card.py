"""Writes the model card: what a trained model is, what it was trained on, how good it is and how to use it, in Markdown.

Names come from the dataset and may contain anything. In a card they are text: no markup, no link, no HTML.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headrace_api.first_few import first_few
from headrace_api.model import Neck
from headrace_api.trainingjob import TrainingJob
from headrace_trainer.counted import counted
from headrace_trainer.network.build import HeadPlan
from headrace_trainer.worker.evaluate import Scores

_NAMED: Final = 12
"""How many classes, keypoints and so on a card names for a head."""
_LONGEST_NAME: Final = 60
"""Characters of a name that a card shows."""


@dataclass(frozen=True)
class Trained:
    """What a card tells about a training."""

    job: TrainingJob
    heads: tuple[HeadPlan, ...]
    images: Mapping[str, int]
    """By split: train and val."""
    iteration: int
    scores: Scores


def model_card(trained: Trained) -> str:
    """The card in GitHub's Markdown."""
    parts = [_title(trained), _heads(trained.heads), _training(trained), _scores(trained), _use(), _licence()]
    return "\n\n".join(parts) + "\n"


def _title(trained: Trained) -> str:
    spec = trained.job.spec.model
    neck = f", {_neck_in_words(spec.neck)}" if spec.neck is not None else ""
    network = f"{_text(spec.backbone.name)} backbone{neck} and {counted(len(trained.heads), 'heads')}"
    return f"# {_text(trained.job.metadata.name)}\n\nA computer-vision model that Headrace trained: a {network}."


def _neck_in_words(neck: Neck) -> str:
    return "an FPN neck" if neck.fpn is not None else "a BiFPN neck" if neck.bi_fpn is not None else "a hybrid encoder as its neck"


def _heads(heads: Iterable[HeadPlan]) -> str:
    rows = [(_text(head.spec.name), head.spec.task.words, _layer(head), _labels(head)) for head in heads]
    return "## What it does\n\n" + _table(("Head", "Task", "Learnt from layer", "Labels"), rows)


def _layer(head: HeadPlan) -> str:
    return _text(head.spec.annotations) if head.spec.annotations is not None else "none: images alone"


def _labels(head: HeadPlan) -> str:
    labels = head.labels
    named = {"classes": labels.classes, "keypoints": labels.keypoints, "values": labels.values, "characters": labels.alphabet}
    return "; ".join(f"{counted(len(n), what)}: {first_few(map(_text, n), _NAMED)}" for what, n in named.items() if n) or "none"


def _training(trained: Trained) -> str:
    spec, size = trained.job.spec, trained.job.spec.training.image_size
    facts = [
        f"Dataset: {_code(spec.dataset.uri)}",
        f"Images: {trained.images['train']:,} to train on, {trained.images['val']:,} held out",
        f"Iterations: {trained.iteration:,}, with {counted(spec.training.batch_size, 'images')} each",
        f"Image size: {size.width} × {size.height} pixels (width × height)",
    ]
    return "## What it was trained on\n\n" + "\n".join(f"- {fact}" for fact in facts)


def _scores(trained: Trained) -> str:
    held_out = f"Scores on the held-out images after iteration {trained.iteration:,}. Each head's main score comes first."
    table = _table(("Head", "Score", "Value", "Better"), _rows_of_scores(trained.scores))
    return f"## How good it is\n\n{held_out}\n\n{table}"


def _rows_of_scores(scores: Scores) -> Iterator[tuple[str, ...]]:
    for head, meanings in scores.meanings.items():
        for score in meanings:
            value = scores.by_head[head][score.name]
            unit = f" {_text(score.unit)}" if score.unit else ""
            shown = f"{value:.4g}{unit}" if math.isfinite(value) else "not measured"
            yield _text(head), _text(score.name), shown, score.better.value


def _use() -> str:
    return """## How to use it

    headrace predict MODEL_FOLDER IMAGES... --out FOLDER
    headrace export MODEL_FOLDER --format onnx

MODEL_FOLDER is the folder of this file, or its s3:// URI. `config.json` says what the network's numbers mean, `metrics.json` has
the scores, and `model.safetensors` the weights."""


def _licence() -> str:
    return """## Licence

The owner of the model decides. Headrace adds no terms; the dataset, and weights that training started from, may have their
own."""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_MARKUP: Final = re.compile(r"[\\`*_{}\[\]()#+!|~^$:@]|\.(?=\S)|(?<![\w])-")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _text(name: str) -> str:
    """`name` as Markdown that shows it and does nothing else; on one line, shortened to _LONGEST_NAME characters."""
    line = _on_one_line(name)
    if len(line) > _LONGEST_NAME:
        line = line[: _LONGEST_NAME - 1] + "…"
    return "".join(_ENTITIES.get(one, one) for one in _MARKUP.sub(lambda found: f"\\{found[0]}", line)) or "(blank)"


def _code(text: str) -> str:
    """`text` in a code span, whatever it contains; on one line."""
    line = _on_one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def _on_one_line(text: str) -> str:
    """Without control characters and whatever else cannot be seen."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
