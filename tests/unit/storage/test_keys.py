"""Object keys become paths that stay inside their folder, or are refused."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_storage.keys import path_for, refuse_symlinks

ROOT = Path("/workspace/dataset")
segments = st.one_of(
    st.sampled_from(["..", ".", "", "a", "images", "~", "\0", "C:", "\\", "a\nb", "é", "\udcff"]), st.text(max_size=300)
)
keys = st.one_of(st.lists(segments, max_size=8).map("/".join), st.text())


@given(keys)
@example("../etc/passwd")
@example("/etc/passwd")
@example("images/../../x")
@example("")
@example("a/" + "x" * 256)
def test_no_key_leads_outside_and_none_is_changed(key: str) -> None:
    try:
        path = path_for(ROOT, key)
    except FatalError:
        return
    assert path != ROOT
    assert Path(*path.parts[: len(ROOT.parts)]) == ROOT
    assert ".." not in path.parts
    assert path.relative_to(ROOT).as_posix() == key
    assert all(0 < len(part.encode()) <= 255 and "\0" not in part for part in key.split("/"))


@given(st.lists(st.text("abcXYZ019-_. éß", min_size=1, max_size=20).filter(lambda s: set(s) != {"."}), min_size=1, max_size=6))
def test_ordinary_keys_are_accepted(parts: list[str]) -> None:
    assert path_for(ROOT, "/".join(parts)) == ROOT.joinpath(*parts)


@given(st.lists(keys, min_size=2, max_size=2, unique=True))
def test_two_keys_never_share_a_path(two: list[str]) -> None:
    paths = []
    for key in two:
        try:
            paths.append(path_for(ROOT, key))
        except FatalError:
            return
    assert paths[0] != paths[1]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a/../b", "has a '..' segment"),
        ("/a", "starts with '/'"),
        ("a//b", "has an empty segment"),
        ("a/", "has an empty segment"),
        ("a\0b", "contains a NUL character"),
        ("x" * 256, "more than 255 bytes"),
        ("\udcff", "is not valid Unicode"),
    ],
)
def test_the_message_says_what_is_wrong_with_a_key(key: str, said: str) -> None:
    with pytest.raises(FatalError, match="rename or remove that object") as refused:
        path_for(ROOT, key)
    assert said in refused.value.message
    assert refused.value.reason is Reason.BAD_DATASET


def test_a_symbolic_link_on_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FatalError, match="'link' is a symbolic link"):
        refuse_symlinks(tmp_path / "root", tmp_path / "root" / "link" / "file")
    refuse_symlinks(tmp_path / "root", tmp_path / "root" / "folder" / "file")
