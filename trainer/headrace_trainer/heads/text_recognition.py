"""Text recognition: reads the text in an image of one line.

Method: a row of columns, COLUMN pixels apart, each predicting a character or nothing, trained by connectionist temporal
classification as in CRNN (Shi et al. 2015, https://arxiv.org/abs/1507.05717): it needs no character positions, and reads the text
in one pass instead of one character after another. Differences:

- Every channel selects which rows of a column it attends to (softmax over the height; the row is an input, which distinguishes an
  apostrophe from a comma). CRNN accepts only images of the height that its strides can flatten.
- Residual blocks of depthwise and pointwise convolutions (ConvNeXt's, Liu et al. 2022, https://arxiv.org/abs/2201.03545) mix the
  columns, not LSTMs, which compute one column after another.
- It reads one level with fine, local features, split into columns of COLUMN pixels; wider context comes through the neck.

Tried on strings of 3 to 6 digits somewhere in noisy 32 × 96 px, ResNet-18 and FPN with levels 3 and 4, AdamW at 0.002, 300
iterations of 16 out of 3,000 images, one seed each, character accuracy on 200 others (chance moves this by a tenth or more, because
CTC has only just aligned columns with characters): these blocks 0.70 with kernels of 7, 0.60 with 5, 0.75 with 3; two bidirectional
LSTMs instead 0.54. At 0.004: levels 3 and 4 added up 0.27, level 3 alone 0.55, and without any blocks 0.11.

It needs small steps: on digit scenes' strips (textured, 32 × 96 px), ResNet-18 at 0.002 found the number and positions of the
characters within 100 iterations, but could not tell them apart after 1,200 (character accuracy 0.09); at 0.0007 it reached 0.81
after 700.

Official metrics: character error rate (edits from the prediction to the truth, divided by the characters of the truth) and the
share of texts that are exactly right. `characterAccuracy` is 1 - CER, or 0 if that is negative: a prediction that is too long can
need more edits than the truth has characters.

B images, T columns, L characters (padded), A characters of the alphabet.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.heads import TextRecognition
from headrace_api.tasks import Task
from headrace_api.trainingjob import Better
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.ctc import best_path, columns_needed, ctc_loss
from headrace_trainer.ops.drawing import Canvas, with_score
from headrace_trainer.ops.edit_distance import edit_distance
from headrace_trainer.ops.layers import group_norm
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.tables import TextResults

DEFAULT_LEVEL = 3
"""Cells of 8 pixels: fine enough to separate characters, and the lowest level whose features represent shapes."""
WIDTH = 256
"""Channels of the columns; fewer where the level has fewer."""
COLUMN = 4
"""Pixels, as in CRNN: a text needs one column per character, and one between equal neighbours."""
MIXERS = 2
KERNEL = 7
"""Columns that a mixer sees at once: the kernel size of ConvNeXt."""
FIRST_DEVIATION = 1.7
"""Approximate deviation of a fresh head's logits. With logits near zero, all columns predict the same for hundreds of iterations
(after 80 iterations on eight images, the loss per character was 0.74 with a third of this value and 0.01 with it)."""


class TextRecognitionHead(Head):
    """Outputs {"logits": float32 [B, T, 1 + A]}, "nothing" first (ops.ctc); predictions {"text": int64 [B, T]}, indices into the
    alphabet padded with -1, and {"scores": float32 [B]}, 0 to 1."""

    task = Task.TEXT_RECOGNITION
    needs = ("alphabet",)

    def __init__(self, level: int, channels: int, labels: LabelSpace) -> None:
        super().__init__([level], labels)
        width = min(WIDTH, channels)
        self.rows = _Rows(channels, width)
        self.parts = max(1, (1 << level) // COLUMN)
        """Columns per cell."""
        self.split = nn.Conv1d(width, width * self.parts, 3, padding=1)
        self.mix = nn.Sequential(*(_Mixer(width) for _ in range(MIXERS)), group_norm(width), nn.ReLU())
        self.output = nn.Conv1d(width, 1 + len(labels.alphabet), 1)
        # The ReLU leaves half of each channel's variance, which is 1.
        nn.init.normal_(self.output.weight, std=FIRST_DEVIATION * (2 / width) ** 0.5)

    def columns(self, width: int) -> int:
        """T for images `width` pixels wide."""
        return -(-width // (1 << self.levels[0])) * self.parts

    def forward(self, features: Features) -> Outputs:
        x = self.split(self.rows(features[self.levels[0]]))
        x = x.unflatten(1, (self.parts, -1)).permute(0, 2, 3, 1).flatten(2)
        return {"logits": self.output(self.mix(x)).transpose(1, 2).float()}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["text"]. "text": negative log probability, mean over the characters of labelled images.

        A text with too many characters for the columns is not learnt, and its characters are not counted.
        """
        text = torch.where(labelled[:, None], targets["text"], -1)
        loss = masked_sum(ctc_loss(outputs["logits"], text), labelled)
        learnt = columns_needed(text) <= outputs["logits"].shape[1]
        return {"text": loss / ((text >= 0) & learnt[:, None]).sum().clamp(min=1)}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:  # noqa: ARG002 - texts have no place
        text, scores = best_path(outputs["logits"])
        return {"text": text, "scores": scores}

    def metric(self) -> Metric:
        return TextRecognitionMetric()

    def truth(self, targets: Targets) -> Predictions | None:
        return {"text": targets["text"], "scores": torch.ones(len(targets["text"]))}

    def results(self, folder: Path, least_score: float) -> Results:
        return TextResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The text in quotation marks, and its score."""
        canvas = Canvas(image)
        text = "".join(self.labels.alphabet[character] for character in predictions["text"][index].tolist() if character >= 0)
        canvas.caption(with_score(f'"{text}"', predictions["scores"][index].item()))
        return canvas.pixels()


class TextRecognitionMetric(Metric):
    """characterAccuracy and CER, NaN if no labelled image has a character; exactMatch, NaN if no image is labelled.

    Keeps constant-size sums on the device.
    """

    scores = (Score("characterAccuracy"), Score("CER", Better.LOWER), Score("exactMatch"))

    def __init__(self) -> None:
        # Texts, exact predictions, edits, characters of the truth.
        self._counts = torch.zeros(4, dtype=torch.float64)

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        edits = edit_distance(predictions["text"], targets["text"])
        counts = torch.stack([torch.ones_like(edits), (edits == 0).long(), edits, (targets["text"] >= 0).sum(dim=1)])
        self._counts = self._counts.to(edits.device) + torch.where(labelled, counts, 0).sum(dim=1)

    def compute(self) -> dict[str, float]:
        texts, exact, edits, characters = self._counts.cpu()
        rate = torch.where(characters > 0, edits / characters, torch.nan)
        return {"characterAccuracy": float((1 - rate).clamp(min=0)), "CER": float(rate), "exactMatch": float(exact / texts)}


class _Rows(nn.Module):
    """Collapses a map's height: [B, channels, h, w] -> [B, width, w], not negative."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.values = nn.Conv2d(channels + 1, width, 1)
        self.weights = nn.Conv2d(channels + 1, width, 1)
        self.norm = group_norm(width)

    def forward(self, x: Tensor) -> Tensor:
        height = torch.linspace(-1, 1, x.shape[2], device=x.device, dtype=x.dtype)[:, None]
        x = torch.cat([x, height.expand(x.shape[0], 1, -1, x.shape[3])], dim=1)
        listened = (self.values(x) * self.weights(x).softmax(dim=2)).sum(dim=2)
        return F.relu(self.norm(listened))


class _Mixer(nn.Module):
    """[B, width, T] -> [B, width, T]: adds context from neighbouring columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = group_norm(width)
        self.think = nn.Sequential(nn.Conv1d(width, 2 * width, 1), nn.GELU(), nn.Conv1d(2 * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = x + self.think(self.norm(self.spread(x)))
        return mixed


@register(Task.TEXT_RECOGNITION)
def build(options: TextRecognition, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on one of the levels of `channels`."""
    nearest = min(channels, key=lambda level: (abs(level - DEFAULT_LEVEL), level))
    level = single_level(channels, nearest if options.level is None else options.level)
    return TextRecognitionHead(level, channels[level], labels)
