import pytest

from headrace_release.subset import subset

LOCK = """\
attrs==1.0 \\
    --hash=sha256:aa
    # via aiohttp
numpy==2.4 ; python_full_version < '3.12' \\
    --hash=sha256:bb
    # via torch
numpy==2.5 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
pytest==9.0 \\
    --hash=sha256:dd
"""


def test_a_package_comes_with_its_hashes_and_without_who_requires_it() -> None:
    assert subset(LOCK, "attrs==1.0\n") == "attrs==1.0 \\\n    --hash=sha256:aa\n"


def test_of_two_versions_the_resolved_one_is_taken() -> None:
    assert subset(LOCK, "numpy==2.5\n") == "numpy==2.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:cc\n"


def test_a_tool_that_changes_leaves_the_part_as_it_was() -> None:
    later = LOCK.replace("pytest==9.0", "pytest==9.1").replace("# via aiohttp", "# via aiohttp, pytest")
    assert subset(later, "attrs==1.0\n") == subset(LOCK, "attrs==1.0\n")


@pytest.mark.parametrize("resolved", ["attrs==1.1\n", "kopf==1.0\n"], ids=["another version", "another package"])
def test_packages_missing_from_the_lock_are_named(resolved: str) -> None:
    with pytest.raises(ValueError, match=rf"not in the lock file: {resolved.strip()}\. hint: make lock"):
        subset(LOCK, resolved)
