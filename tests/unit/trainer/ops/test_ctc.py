import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from headrace_trainer.ops.ctc import BLANK, best_path, ctc_loss


def random_texts(texts: int, longest: int, alphabet: int, shortest: int = 0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    length = torch.randint(shortest, longest + 1, (texts, 1), generator=generator)
    return torch.where(torch.arange(longest) < length, torch.randint(alphabet, (texts, longest), generator=generator), -1)


def reference(logits: Tensor, text: Tensor) -> Tensor:
    """torch's own loss, in float64."""
    columns = torch.full((len(text),), logits.shape[1])
    probabilities = logits.double().log_softmax(dim=2).transpose(0, 1)
    truth, length = (text + 1).clamp(min=0), (text >= 0).sum(dim=1)
    return F.ctc_loss(probabilities, truth, columns, length, blank=BLANK, reduction="none", zero_infinity=True)


CASES = {
    "usual": (16, 24, 6, 10),
    "many repeats": (16, 24, 8, 2),
    "barely enough columns": (16, 4, 4, 3),
    "one column": (8, 1, 2, 3),
    "long": (4, 200, 90, 80),
}


@pytest.mark.parametrize(("texts", "columns", "longest", "alphabet"), CASES.values(), ids=CASES.keys())
def test_loss_and_gradient_equal_those_of_torch(texts: int, columns: int, longest: int, alphabet: int) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = (2 * torch.randn(texts, columns, 1 + alphabet, generator=generator)).requires_grad_()
    text, weight = random_texts(texts, longest, alphabet), torch.rand(texts, generator=generator)
    (want,) = torch.autograd.grad((reference(logits, text) * weight).sum(), logits)
    loss = ctc_loss(logits, text)
    (gradient,) = torch.autograd.grad((loss * weight).sum(), logits)
    torch.testing.assert_close(loss.double(), reference(logits, text), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, want, rtol=0, atol=1e-3 * columns / 100)


def test_the_loss_counts_every_row_that_reads_as_the_text() -> None:
    """With two columns and one character a, these are the rows "aa", "a " and " a"."""
    a = torch.tensor([0.3, 0.6])
    logits = torch.stack([1 - a, a], dim=1).log()[None]
    loss = ctc_loss(logits, torch.tensor([[0]]))
    assert loss.item() == pytest.approx(-math.log(0.3 * 0.6 + 0.3 * 0.4 + 0.7 * 0.6))


@pytest.mark.parametrize(("text", "columns"), [([0, 1, 2, 0], 3), ([0, 0, -1, -1], 2)], ids=["characters", "equal neighbours"])
def test_a_text_with_too_few_columns_counts_nothing(text: list[int], columns: int) -> None:
    logits = torch.zeros(1, columns, 4, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([text]))
    loss.sum().backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_overconfident_columns_are_finite() -> None:
    logits = torch.zeros(1, 12, 4)
    logits[..., 3] = 1e4
    logits.requires_grad_()
    loss = ctc_loss(logits, torch.tensor([[0, 1, -1]]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(12e4, rel=1e-3)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_equal_neighbours_are_merged_and_blanks_dropped() -> None:
    said = torch.tensor([[0, 2, 2, 0, 2, 1, 1, 1], [0] * 8, [3, 1, 3, 1, 3, 1, 3, 1]])
    text, score = best_path(9 * F.one_hot(said, 4).float())
    assert text.tolist() == [[1, 1, 0, -1, -1, -1, -1, -1], [-1] * 8, [2, 0, 2, 0, 2, 0, 2, 0]]
    assert score[1] == 0
    assert (score[[0, 2]] > 0.99).all()


def test_the_best_path_of_a_memorised_text_is_the_text() -> None:
    text = random_texts(12, 5, 3, shortest=1)
    logits = torch.zeros(12, 14, 4, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        ctc_loss(logits, text).sum().backward()
        optimizer.step()
    assert torch.equal(best_path(logits)[0][:, :5], text)
