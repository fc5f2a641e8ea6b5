"""Loss functions in float32, whatever the dtype of the outputs, and sums that ignore masked entries, even NaN."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of `values` where `mask` (broadcastable) is True; the other values get a zero gradient."""
    return torch.where(mask, values, 0).sum()


def quality_focal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Elementwise quality focal loss, beta = 2 (Li et al. 2020, https://arxiv.org/abs/2006.04388, equation 5).

    The cross entropy with a soft target from 0 to 1, times the squared distance from it, so that locations that are already right,
    nearly all of an image, have almost no weight. `logits` and `quality` have the same shape.
    """
    logits = logits.float()
    distance = logits.sigmoid() - quality
    entropy = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return entropy * distance.square()
