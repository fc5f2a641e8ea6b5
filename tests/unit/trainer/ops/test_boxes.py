import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou

from headrace_trainer.ops.boxes import area, giou, iou


def random_boxes(count: int, seed: int) -> torch.Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * 50
    return corners.sort(dim=1).values.flatten(1)


def test_iou_equals_torchvision() -> None:
    a, b = random_boxes(20, 0), random_boxes(30, 1)
    torch.testing.assert_close(iou(a[:, None], b), box_iou(a, b))


def test_giou_equals_torchvision() -> None:
    a, b = random_boxes(20, 0), random_boxes(30, 1)
    torch.testing.assert_close(giou(a[:, None], b), generalized_box_iou(a, b))


def test_area_is_half_open_and_never_negative() -> None:
    boxes = torch.tensor([[1.0, 2.0, 4.0, 6.0], [3.0, 3.0, 3.0, 9.0], [5.0, 5.0, 2.0, 9.0]])
    assert area(boxes).tolist() == [12.0, 0.0, 0.0]


@pytest.mark.parametrize("other", [[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 9.0, 5.0], [0.0, 0.0, 3.0, 3.0]])
@pytest.mark.parametrize("function", [iou, giou])
def test_boxes_without_area_are_finite_in_value_and_gradient(function, other: list[float]) -> None:
    box = torch.tensor([5.0, 5.0, 5.0, 5.0], requires_grad=True)
    value = function(box, torch.tensor(other))
    value.backward()
    assert torch.isfinite(value)
    assert box.grad is not None
    assert torch.isfinite(box.grad).all()
