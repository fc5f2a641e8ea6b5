import pytest

from headrace_trainer.data.annotations.keypoint_table import COCO_PERSON, OTHER_SIGMA, KeypointTable


def test_coco_persons_have_cocos_constants_and_sides() -> None:
    table = KeypointTable.of(COCO_PERSON)
    assert table.mirrored == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert table.sigmas[:3] == (0.026, 0.025, 0.025)
    assert table.sigmas[11] == table.sigmas[12] == 0.107


def test_other_keypoints_have_their_own_constant_and_sides_by_name() -> None:
    table = KeypointTable.of(["Left ear", "right ear", "left paw", "tail"], skeleton=[[0, 3]])
    assert table.mirrored == (1, 0, 2, 3), "a paw without a counterpart stays"
    assert KeypointTable.of(["L_Eye", "R_Eye", "tail.l", "tail.r", "roll", "loll"]).mirrored == (1, 0, 3, 2, 4, 5)
    assert KeypointTable.of(["k", "l", "r"]).mirrored == (0, 1, 2), "single letters are not sides"
    assert table.sigmas == (OTHER_SIGMA,) * 4
    assert table.skeleton == ((0, 3),)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"mirrored": [0]}, "mirrored: expected 3 indices"),
        ({"mirrored": [1, 2, 0]}, "mirrored: expected 3 indices that swap keypoints in pairs"),
        ({"mirrored": [0, 1, 3]}, "mirrored"),
        ({"skeleton": [[0, 3]]}, "skeleton: expected pairs of indices from 0 to 2"),
        ({"skeleton": [[0, 1, 2]]}, "skeleton"),
        ({"sigmas": [0.1]}, "sigmas: expected 3 numbers above 0"),
        ({"sigmas": [0.1, 0, 0.1]}, "sigmas"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, list[int]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        KeypointTable.of(["a", "b", "c"], **parts)
