"""Settings from the environment."""

import pytest

from headrace_api.environment import BadSettingsError
from headrace_operator.settings import Settings

IMAGE = {"HEADRACE_TRAINER_IMAGE": "trainer:1"}


def test_defaults_serve_the_whole_cluster() -> None:
    settings = Settings.from_environment(IMAGE)
    assert settings.all_namespaces
    assert (settings.namespace, settings.backoff_base, settings.backoff_cap) == ("headrace-system", 10, 360)
    assert settings.default_storage_secret is None


def test_namespaces_are_separated_by_commas() -> None:
    settings = Settings.from_environment(IMAGE | {"HEADRACE_WATCH_NAMESPACES": "a, b,"})
    assert settings.watch_namespaces == ("a", "b")
    assert not settings.all_namespaces


def test_pull_secrets_are_separated_by_commas() -> None:
    assert Settings.from_environment(IMAGE | {"HEADRACE_TRAINER_PULL_SECRETS": "a, b"}).trainer_pull_secrets == ("a", "b")


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.from_environment(IMAGE | {"HEADRACE_DEFAULT_OUTPUT_URI": ""}).default_output_uri is None


@pytest.mark.parametrize(
    ("environment", "want"),
    [
        ({}, r"HEADRACE_TRAINER_IMAGE: is required \(Trainer image for jobs that name none"),
        (IMAGE | {"HEADRACE_METRICS_PORT": "http"}, "HEADRACE_METRICS_PORT: should be a valid integer, but is 'http' "),
        (IMAGE | {"HEADRACE_DEFAULT_OUTPUT_URI": "/runs"}, "HEADRACE_DEFAULT_OUTPUT_URI: should match pattern .*, but is '/runs' "),
        (
            IMAGE | {"HEADRACE_BACKOFF_CAP": "5"},
            "HEADRACE_BACKOFF_CAP: should be at least HEADRACE_BACKOFF_BASE, which is 10, but is 5 ",
        ),
        (
            IMAGE | {"HEADRACE_LEADER_LEASE_NAME": "headrace-p"},
            "HEADRACE_LEADER_LEASE_NAME: should match pattern .*, but is 'headrace-p' ",
        ),
        (IMAGE | {"HEADRACE_LOG_LEVEL": "LOUD"}, "HEADRACE_LOG_LEVEL: should be 'DEBUG', .*, but is 'LOUD' "),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], want: str) -> None:
    with pytest.raises(BadSettingsError, match=want):
        Settings.from_environment(environment)


def test_every_setting_explains_itself() -> None:
    assert all(len(field.description or "") > 20 for field in Settings.model_fields.values())
