"""Numbers of attempts and parts, with foreign keys among them."""

from headrace_api.runfolder import Attempt, next_attempt


def test_the_next_attempt_comes_after_the_highest_and_foreign_keys_do_not_count() -> None:
    assert next_attempt([]) == 1
    keys = [
        "attempts/.DS_Store",
        "attempts/foo/logs/00001.log",
        "attempts/2/logs/00001.log",
        "attempts/10/x",
        "attempts/99",
        "attempts/²/x",
    ]
    assert next_attempt(keys) == 11


def test_only_parts_of_a_record_have_an_offset() -> None:
    log = Attempt(1).log
    assert [log.offset(log.part(offset)) for offset in (0, 7, 10**11)] == [0, 7, 10**11]
    assert log.offset(f"{log.parts}00003.log") == 3, "the third part, from an earlier version"
    for name in (".DS_Store", "notes.log", "000000000000.log.bak", "3.log"):
        assert log.offset(f"{log.parts}{name}") is None
