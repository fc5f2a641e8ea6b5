from pathlib import Path

import pytest

from headrace_local.node.paths import rewrite

MOUNTS = {
    "/workspace": Path("/node/volumes/workspace"),
    "/workspace/cache": Path("/node/volumes/cache"),
    "/dev/termination-log": Path("/node/termination-log"),
}


@pytest.mark.parametrize(
    ("word", "want"),
    [
        ("/workspace", "/node/volumes/workspace"),
        ("/workspace/", "/node/volumes/workspace"),
        ("/workspace/a/b.txt", "/node/volumes/workspace/a/b.txt"),
        ("/workspace/cache/x", "/node/volumes/cache/x"),
        ("/dev/termination-log", "/node/termination-log"),
    ],
)
def test_a_mount_path_or_anything_below_it_is_rewritten(word: str, want: str) -> None:
    assert rewrite(word, MOUNTS) == want


@pytest.mark.parametrize(
    "word",
    ["/workspaces", "/workspace2/a", "workspace/a", "--out=/workspace", "/", "", "/dev", "/workspace/../etc/passwd"],
)
def test_everything_else_stays_as_it_is(word: str) -> None:
    assert rewrite(word, MOUNTS) == word
