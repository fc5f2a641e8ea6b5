"""Finds images that are near each other, for the heads that give one vector per image. Not a head by itself.

Similarity is the cosine of the angle between vectors. N images, Q of them as queries, D numbers per vector.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headrace_trainer.ops.drawing import Canvas

_MOST_CELLS: Final = 2**24
"""Similarities held at once: 64 MiB, however many images there are."""
_BAND: Final = 0.12
"""Height of the drawn vector as a share of the picture's."""
_WARM, _COLD = np.array([230, 90, 30]), np.array([30, 110, 230])


def similarities(vectors: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """float32 [N, D] -> slices of query images, with their similarity to every image: float32 [Q, N]; -inf to themselves."""
    vectors = F.normalize(vectors.float(), dim=1)
    rows = max(1, _MOST_CELLS // max(1, len(vectors)))
    for start in range(0, len(vectors), rows):
        asked = slice(start, min(start + rows, len(vectors)))
        near = vectors[asked] @ vectors.T
        number = torch.arange(len(near), device=near.device)
        near[number, number + start] = -torch.inf
        yield asked, near


def draw_vector(image: np.ndarray, vectors: Tensor, index: int) -> np.ndarray:
    """A copy of the image with vector `index` of a batch [B, D] as a band of colours, so that similar images have similar bands,
    and with the number of the nearest image, counted from 1 in the batch."""
    canvas = Canvas(image)
    height, width = image.shape[:2]
    vector = F.normalize(vectors[index].float(), dim=0).cpu().numpy()
    shown = vector[np.arange(width) * len(vector) // width]
    strength = np.clip(np.abs(shown) * np.sqrt(len(vector)) / 2, 0, 1)[:, None]
    colors = (np.where(shown[:, None] > 0, _WARM, _COLD) * strength).astype(np.uint8)
    rows = np.arange(height)[:, None] >= height - max(1, round(height * _BAND))
    canvas.overlay(np.broadcast_to(colors, (height, width, 3)).copy(), 1.0, np.broadcast_to(rows, (height, width)).copy())
    canvas.caption(f"image {index + 1}", index)
    if len(vectors) > 1:
        near = F.cosine_similarity(vectors[index].float(), vectors.float())
        near[index] = -torch.inf
        nearest = int(near.argmax())
        canvas.caption(f"like image {nearest + 1}: {float(near[nearest]):.2f}", nearest)
    return canvas.pixels()
