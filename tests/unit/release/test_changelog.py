from datetime import date

import pytest

from headrace_release import changelog

TEXT = "# Changelog\n\n## Unreleased\n\n- new\n\n## 0.1.0 (2026-01-02)\n\n- first\n"
TODAY = date(2026, 3, 4)


def test_what_was_unreleased_gets_the_version_and_the_day() -> None:
    released = changelog.release(TEXT, "0.2.0", TODAY)
    assert changelog.sections(released) == {"Unreleased": "", "0.2.0 (2026-03-04)": "- new", "0.1.0 (2026-01-02)": "- first"}
    assert changelog.notes(released, "0.2.0") == "- new"


def test_an_empty_release_is_refused() -> None:
    with pytest.raises(changelog.ChangelogError, match="has nothing under"):
        changelog.release(TEXT.replace("- new\n", ""), "0.2.0", TODAY)


def test_a_version_is_released_once() -> None:
    with pytest.raises(changelog.ChangelogError, match=r"already has a section for 0\.1\.0"):
        changelog.release(TEXT, "0.1.0", TODAY)


def test_notes_of_an_unknown_version_are_refused() -> None:
    with pytest.raises(changelog.ChangelogError, match=r"no section for 9\.9\.9"):
        changelog.notes(TEXT, "9.9.9")
