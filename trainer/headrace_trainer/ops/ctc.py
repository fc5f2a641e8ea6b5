"""Connectionist temporal classification (Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf) without device
synchronisation: lengths stay on the device, whereas torch's own loss copies them to the host.

A text is decoded from a row of columns, each of which predicts one character or nothing (BLANK): repeats are merged, then blanks
are dropped. The loss is the negative log probability of all rows that decode to the text. Each such row is a path through the
states blank, first character, blank, second character, …, blank, from one of the first two to one of the last two.

B texts, T columns, L characters (padded), S = 2 L + 1 states, A characters in the alphabet.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BLANK = 0
"""Index of "nothing here" among a column's 1 + A outputs; character i of the alphabet is 1 + i."""


def ctc_loss(logits: Tensor, text: Tensor) -> Tensor:
    """float [B, T, 1 + A] and int64 [B, L], indices into the alphabet padded with -1 -> float32 [B], natural logarithms.

    0, with a zero gradient, if there are too few columns for the text (`columns_needed`).
    """
    loss: Tensor = _Ctc.apply(logits.float().log_softmax(dim=2), text)
    return loss


def columns_needed(text: Tensor) -> Tensor:
    """Columns a text takes: int64 [B, L] -> int64 [B], one per character and one between equal neighbours."""
    repeats = (text[:, 1:] >= 0) & (text[:, 1:] == text[:, :-1])
    return (text >= 0).sum(dim=1) + repeats.sum(dim=1)


def best_path(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Greedy decoding, each column giving its most probable output: float [B, T, 1 + A] -> text, score.

    `text` is int64 [B, T], indices into the alphabet padded with -1; `score` is float32 [B], 0 to 1: the mean probability of its
    characters, 0 if the text is empty.
    """
    sure, said = logits.float().softmax(dim=2).max(dim=2)
    repeats = said == F.pad(said, (1, 0), value=BLANK)[:, :-1]
    begins = (said != BLANK) & ~repeats
    place = begins.cumsum(dim=1) - 1
    # Columns that begin no character are written to a place after the last, which is cut off.
    columns = said.shape[1]
    text = said.new_full((len(said), columns + 1), -1).scatter(1, torch.where(begins, place, columns), said - 1)[:, :columns]
    score = torch.where(begins, sure, 0).sum(dim=1) / begins.sum(dim=1).clamp(min=1)
    return text, score


class _Ctc(torch.autograd.Function):
    """Log probabilities [B, T, 1 + A] and text [B, L] -> loss [B].

    Both directions of the recursion run side by side in the forward pass and give the gradient: the probability that a path emits
    this character in this column. So the loop over columns runs once, without recording a graph.
    """

    @staticmethod
    def forward(ctx: Any, log_probabilities: Tensor, text: Tensor) -> Tensor:
        length = (text >= 0).sum(dim=1)
        said = F.pad((text + 1).clamp(min=BLANK)[..., None], (1, 0), value=BLANK).flatten(1)
        said = F.pad(said, (0, 1), value=BLANK)  # [B, S]
        emitted = log_probabilities.gather(2, said[:, None].expand(-1, log_probabilities.shape[1], -1))

        # Backwards, states count down from the text's last one; padding states come after it and lead nowhere.
        last = 2 * length
        state = torch.arange(said.shape[1], device=said.device)
        mirrored = (last[:, None] - state) % said.shape[1]
        back = emitted.flip(1).gather(2, mirrored[:, None].expand_as(emitted))
        walks = _walks(torch.cat([emitted, back]), torch.cat([said, said.gather(1, mirrored)]))
        onwards, backwards = walks.split(len(said), dim=1)
        ends = torch.stack([last, (last - 1).clamp(min=0)], dim=1)
        at_end = onwards[-1].gather(1, ends)
        # An empty text has one last state, not two.
        total = torch.logaddexp(at_end[:, 0], torch.where(length > 0, at_end[:, 1], -torch.inf))

        both = onwards.transpose(0, 1) + backwards.flip(0).transpose(0, 1).gather(2, mirrored[:, None].expand_as(emitted)) - emitted
        counted = (total > -torch.inf)[:, None] & (state <= last[:, None])
        there = torch.where(counted[:, None], (both - total[:, None, None]).exp(), 0)
        index = said[:, None].expand_as(emitted)
        ctx.save_for_backward(torch.zeros_like(log_probabilities).scatter_add(2, index, there))
        return torch.where(total > -torch.inf, -total, 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (there,) = ctx.saved_tensors
        return -gradient[:, None, None] * there, None


def _walks(emitted: Tensor, said: Tensor) -> Tensor:
    """Log probability of reaching each state, its own column included: [B, T, S] and [B, S] -> [T, B, S]."""
    skips = (said != BLANK) & (said != F.pad(said, (2, 0), value=BLANK)[:, :-2])
    # A path may skip the blank between two different characters.
    passing = torch.where(skips, 0.0, -torch.inf)
    first_two = torch.arange(said.shape[1], device=said.device) < 2
    now = torch.where(first_two, emitted[:, 0], -torch.inf)
    walks = [now]
    for column in emitted.unbind(1)[1:]:
        before = F.pad(now, (2, 0), value=-torch.inf)
        ways = torch.stack([before[:, 2:], before[:, 1:-1], before[:, :-2] + passing])
        now = ways.logsumexp(dim=0) + column
        walks.append(now)
    return torch.stack(walks)
