from pathlib import Path

import pytest

from headrace_storage.places import lies_in


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("s3://team/data/runs/ns/p/job/", "s3://team/data/", True),
        ("s3://team/data/", "s3://team/data", True),
        ("s3://team/runs/", "s3://team", True),
        ("s3://team/data-runs/", "s3://team/data", False),
        ("s3://team/data/", "s3://team/data/train/", False),
        ("s3://other/data/runs/", "s3://team/data/", False),
        ("s3://team/runs/", "/team", False),
    ],
)
def test_keys_say_whether_a_stored_folder_is_inside_another(inner: str, outer: str, expected: bool) -> None:
    assert lies_in(inner, outer) is expected


def test_a_local_folder_is_where_its_links_lead(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert lies_in(str(tmp_path / "link" / "runs"), str(tmp_path / "data"))
    assert not lies_in(str(tmp_path / "data-runs"), str(tmp_path / "data"))
