"""Text recognition: the text that an image of one line shows.

Method: a row of columns, COLUMN pixels apart, each of which says a character or nothing, learnt by connectionist temporal
classification as in CRNN (Shi et al. 2015, https://arxiv.org/abs/1507.05717): it needs no place of any character, and reading is
one pass, not a character after another. Differences:

- Every channel chooses for itself which rows of a column it listens to (softmax over the height; its own row is an input, which
  tells an apostrophe from a comma). There, images are as high as the network's strides can flatten, and any other height fails.
- Columns are mixed by residual blocks of depthwise and pointwise convolutions (ConvNeXt's, Liu et al. 2022,
  https://arxiv.org/abs/2201.03545), not by LSTMs, which compute one column after another.
- One level with fine, local features is looked at, and split into columns of COLUMN pixels; what lies further off comes through
  the neck.

Tried on strings of 3 to 6 digits somewhere in noisy 32 × 96 px, ResNet-18 and FPN with levels 3 and 4, AdamW at 0.002, 300
iterations of 16 out of 3,000 images, one seed each, character accuracy on 200 others (chance moves this by a tenth or more, since
CTC has only just found out which column says what): these blocks 0.70 with kernels of 7, 0.60 with 5, 0.75 with 3; two two-way
LSTMs in their place 0.54. At 0.004: levels 3 and 4 added up 0.27, level 3 alone 0.55, and without any blocks 0.11.

It wants small steps: on digit scenes' strips (textured, 32 × 96 px) ResNet-18 at 0.002 found how many characters there are and
where within 100 iterations, and told no character from another after 1,200 (character accuracy 0.09); at 0.0007 it read 0.81 after
700.

Official metrics: character error rate (edits that make the truth of the answer, over all characters of the truth) and the share of
texts that are exactly right. `characterAccuracy` is 1 - CER, and 0 where that is negative: too long an answer can need more edits
than the truth has characters.

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
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.ctc import best_path, columns_needed, ctc_loss
from headrace_trainer.ops.drawing import Canvas, with_score
from headrace_trainer.ops.edit_distance import edit_distance
from headrace_trainer.ops.layers import group_norm
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.tables import TextResults

DEFAULT_LEVEL = 3
"""Cells of 8 pixels: fine enough to tell characters apart, and the lowest level whose features know of shapes."""
WIDTH = 256
"""Channels of the columns; fewer where the level has fewer."""
COLUMN = 4
"""Pixels, as in CRNN: a text needs a column for each character, and one between equal neighbours."""
MIXERS = 2
KERNEL = 7
"""Columns that a mixer sees at once, as in ConvNeXt."""
FIRST_DEVIATION = 1.7
"""Of a fresh head's logits, about. With logits near zero every column says the same for hundreds of iterations (of 80 iterations on
eight images, the last had a loss of 0.74 a character with a third of this, and 0.01 with it)."""


class TextRecognitionHead(Head):
    """Outputs {"logits": float32 [B, T, 1 + A]}, "nothing" first (ops.ctc); predictions {"text": int64 [B, T]}, indices into the
    alphabet and then -1, and {"scores": float32 [B]}, 0 to 1."""

    task = Task.TEXT_RECOGNITION
    primary = "characterAccuracy"
    needs = ("alphabet",)

    def __init__(self, level: int, channels: int, labels: LabelSpace) -> None:
        super().__init__([level], labels)
        width = min(WIDTH, channels)
        self.rows = _Rows(channels, width)
        self.parts = max(1, (1 << level) // COLUMN)
        """Columns that a cell is split into."""
        self.split = nn.Conv1d(width, width * self.parts, 3, padding=1)
        self.mix = nn.Sequential(*(_Mixer(width) for _ in range(MIXERS)), group_norm(width), nn.ReLU())
        self.output = nn.Conv1d(width, 1 + len(labels.alphabet), 1)
        # The ReLU leaves half of each channel's variance, which is 1.
        nn.init.normal_(self.output.weight, std=FIRST_DEVIATION * (2 / width) ** 0.5)

    def columns(self, width: int) -> int:
        """T, of images `width` pixels wide."""
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

    def truth(self, targets: Targets, predictions: Predictions) -> Predictions | None:  # noqa: ARG002 - certain of all of it
        return {"text": targets["text"], "scores": torch.ones(len(targets["text"]))}

    def results(self, folder: Path, least_score: float) -> Results:
        return TextResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The text in quotation marks, and how sure it is."""
        canvas = Canvas(image)
        text = "".join(self.labels.alphabet[character] for character in predictions["text"][index].tolist() if character >= 0)
        canvas.caption(with_score(f'"{text}"', predictions["scores"][index].item()))
        return canvas.pixels()


class TextRecognitionMetric(Metric):
    """characterAccuracy and CER, NaN where no labelled image has a character; exactMatch, NaN where no image is labelled.

    Sums on the device, of constant size.
    """

    def __init__(self) -> None:
        # Texts, exact answers, edits, characters of the truth.
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
    """A map without its height: [B, channels, h, w] -> [B, width, w], not negative."""

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
    """[B, width, T] -> [B, width, T], columns with what their neighbours know."""

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
