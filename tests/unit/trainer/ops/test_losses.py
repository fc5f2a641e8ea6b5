import torch

from headrace_trainer.ops.losses import masked_sum, quality_focal_loss


def test_quality_focal_loss_is_zero_if_the_score_is_right() -> None:
    quality = torch.tensor([0.2, 0.5, 0.9])
    assert quality_focal_loss(quality.logit(), quality).abs().max() < 1e-6


def test_quality_focal_loss_equals_its_formula() -> None:
    logits, quality = torch.tensor([-3.0, 0.0, 2.0]).double(), torch.tensor([0.0, 0.7, 1.0]).double()
    score = logits.sigmoid()
    entropy = -(quality * score.log() + (1 - quality) * (1 - score).log())
    torch.testing.assert_close(quality_focal_loss(logits, quality.float()).double(), entropy * (score - quality) ** 2)


def test_quality_focal_loss_stays_finite_for_extreme_logits() -> None:
    logits = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = quality_focal_loss(logits, torch.tensor([1.0, 0.0])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_masked_sum_leaves_out_what_is_not_finite() -> None:
    values = torch.tensor([[1.0, 2.0], [float("nan"), float("inf")]], requires_grad=True)
    total = masked_sum(values, torch.tensor([[True], [False]]))
    total.backward()
    assert total.item() == 3.0
    assert values.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]
