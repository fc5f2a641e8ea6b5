"""Loss functions in float32, whatever the outputs come in, and means that leave entries out without touching them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of `values` where `mask` (broadcastable) holds; what is left out gets a zero gradient."""
    return torch.where(mask, values, 0).sum()


def quality_focal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Elementwise quality focal loss, beta = 2 (Li et al. 2020, https://arxiv.org/abs/2006.04388, equation 5).

    The cross entropy towards a soft target in 0 to 1, times the squared distance from it: locations that are right already, nearly
    all of an image, weigh next to nothing. `logits` and `quality` are of one shape, any.
    """
    logits = logits.float()
    distance = logits.sigmoid() - quality
    entropy = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return entropy * distance.square()
