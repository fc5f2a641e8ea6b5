from email.message import Message
from pathlib import Path

import pytest

from headrace_release import licences

ROOT = Path(__file__).resolve().parents[3]


def metadata(**lines: str) -> Message:
    message = Message()
    for name, text in lines.items():
        message[name.replace("_", "-")] = text
    return message


def test_every_package_that_is_shipped_has_a_licence_that_is_accepted() -> None:
    table = licences.table()
    assert {"kopf", "torch", "pydantic"} <= set(table)
    assert table["pydantic"][1] == ("operator", "trainer")
    assert table["torch"][1] == ("trainer",), "the operator has no torch"


def test_the_agpl_is_not_accepted_in_any_form() -> None:
    assert not [licence for licence in licences.ACCEPTED if "GPL" in licence]
    for text in ("AGPL-3.0-only", "AGPL-3.0-or-later", "MIT AND AGPL-3.0-only", "MIT OR AGPL-3.0-only"):
        licence = licences.licence_of("a-package", metadata(License_Expression=text))
        assert "is not accepted" in (licences.problem_with("a-package", licence) or "")


def test_a_package_without_a_licence_is_named() -> None:
    licence = licences.licence_of("a-package", metadata(License="BSD"))
    assert licence is None, "several licences are called BSD"
    assert "a-package: its metadata do not name its licence" in (licences.problem_with("a-package", licence) or "")


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        ({"License_Expression": "mit"}, "MIT"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "see the file", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
    ],
    ids=["expression", "free text", "classifier"],
)
def test_a_licence_is_read_wherever_it_is_stated(lines: dict[str, str], want: str) -> None:
    assert licences.licence_of("a-package", metadata(**lines)) == want


def test_packages_of_packages_count_and_those_for_another_system_do_not() -> None:
    requires = {
        "headrace": ["a[fast]", 'b; extra == "trainer"', 'c; sys_platform == "win32"'],
        "a": ['d; extra == "fast"', 'e; extra == "slow"'],
        "d": ["a"],
    }
    assert sorted(licences.packages_of("operator", lambda name: requires.get(name, []))) == ["a", "d"]


def test_only_shipped_packages_have_licences_read_by_hand() -> None:
    assert set(licences.READ_BY_HAND) <= set(licences.table())


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs/licences.md").read_text() == licences.to_markdown()
