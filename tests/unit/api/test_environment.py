"""Settings that a program reads from environment variables."""

import traceback

import pytest
from pydantic import Field

from headrace_api.environment import BadSettingsError, EnvironmentSettings


class Settings(EnvironmentSettings):
    speed: float = Field(gt=0, description="How fast.")
    folder: str = Field("here", description="Where.")
    port: int = Field(80, description="Where to listen.")


def test_variables_are_named_after_the_fields() -> None:
    settings = Settings.from_environment({"HEADRACE_SPEED": "2.5", "HEADRACE_PORT": "", "PORT": "81"})
    assert (settings.speed, settings.folder, settings.port) == (2.5, "here", 80)


def test_a_value_that_is_given_overrides_the_environment() -> None:
    environment = {"HEADRACE_SPEED": "1", "HEADRACE_FOLDER": "there"}
    assert Settings.from_environment(environment, folder="elsewhere").folder == "elsewhere"


def test_every_wrong_variable_is_named_with_its_value_and_what_it_should_be() -> None:
    with pytest.raises(BadSettingsError) as error:
        Settings.from_environment({"HEADRACE_SPEED": "-1", "HEADRACE_PORT": "http"})
    assert str(error.value) == (
        "HEADRACE_SPEED: should be greater than 0, but is '-1' (How fast.); "
        "HEADRACE_PORT: should be a valid integer, but is 'http' (Where to listen.)"
    )


def test_a_missing_variable_says_what_it_is_for() -> None:
    with pytest.raises(BadSettingsError, match=r"HEADRACE_SPEED: is required \(How fast\.\)"):
        Settings.from_environment({})


def test_a_traceback_shows_no_variable() -> None:
    key = "sec" + "ret"  # the traceback also quotes this file
    with pytest.raises(BadSettingsError) as error:
        Settings.from_environment({"HEADRACE_FOLDER": key})
    assert key not in "".join(traceback.format_exception(error.value))
