import json

import pytest

from headrace_release.audit import Audit, read


def answer(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages})


SOUND = {"name": "kopf", "version": "1.45", "vulns": []}
HOLED = {
    "name": "urllib3",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
SKIPPED = {"name": "torch", "skip_reason": "not found"}


def test_a_vulnerability_is_named_with_the_version_that_fixes_it() -> None:
    result = read(answer(SOUND, HOLED))
    assert result.vulnerable == ("urllib3 1.0: PYSEC-1 (fixed in 1.1); PYSEC-2 (fixed in no version yet)",)
    assert result.words == "2 packages looked up, 1 with known vulnerabilities"


def test_a_package_that_could_not_be_looked_up_is_counted() -> None:
    assert read(answer(SOUND, SKIPPED)).words == "1 packages looked up, none with a known vulnerability; 1 could not be looked up"


def test_a_database_that_answers_for_nothing_does_not_count_as_an_audit() -> None:
    assert read(answer(SKIPPED)).words.startswith(
        "NOT AUDITED: no answer from the vulnerability database (it answered for none of 1"
    )


def test_a_missing_network_is_reported() -> None:
    assert "NOT AUDITED" in Audit(0, 0, (), "Failed to resolve").words


def test_an_invalid_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        read("")
