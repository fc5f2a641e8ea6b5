"""Numbers of attempts and parts, with foreign keys among them."""

from headrace_api.runfolder import next_attempt, next_part


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


def test_the_next_part_comes_after_the_highest_and_foreign_keys_do_not_count() -> None:
    assert next_part([]) == 1
    folder = "attempts/1/logs/"
    assert next_part([f"{folder}00003.log", f"{folder}.DS_Store", f"{folder}notes.log", f"{folder}00009.log.bak"]) == 4
