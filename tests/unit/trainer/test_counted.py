import pytest

from headrace_trainer.counted import counted


@pytest.mark.parametrize(
    ("count", "plural", "want"),
    [
        (0, "images", "0 images"),
        (1, "images", "1 image"),
        (2, "images", "2 images"),
        (1, "classes", "1 class"),
        (2, "classes", "2 classes"),
        (1, "of them anomalous", "1 of them anomalous"),
        (1200, "keypoints", "1,200 keypoints"),
    ],
)
def test_one_is_singular(count: int, plural: str, want: str) -> None:
    assert counted(count, plural) == want
