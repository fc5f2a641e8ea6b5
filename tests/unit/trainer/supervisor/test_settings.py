"""Settings from the environment."""

from pathlib import Path

import pytest

from headrace_api import names
from headrace_api.environment import variable
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.supervisor.settings import Settings, settings_from

POD = {
    names.ENV_JOB_FILE: "/etc/headrace/training-job.json",
    names.ENV_ATTEMPT: "3",
    names.ENV_WORKSPACE: "/workspace",
    names.ENV_TERMINATION_LOG: "/dev/termination-log",
    names.ENV_LISTEN_HOST: "10.0.0.7",
    names.ENV_LISTEN_PORT: "8080",
    names.ENV_GRACE_SECONDS: "120",
    names.ENV_CPUS: "4",
}


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every machine look as if it had eight cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))


def test_a_limit_above_the_machines_cores_does_not_make_more_threads_than_cores() -> None:
    assert settings_from(POD | {names.ENV_CPUS: "64"}).threads == 8


def test_a_pods_environment_is_understood() -> None:
    settings = settings_from(POD)
    assert settings.job_file == Path("/etc/headrace/training-job.json")
    assert (settings.attempt, settings.listen_host, settings.listen_port) == (3, "10.0.0.7", 8080)
    assert (settings.grace_seconds, settings.threads) == (120.0, 4)
    assert settings.termination_log == Path("/dev/termination-log")


def test_how_long_a_worker_may_be_silent_can_be_set() -> None:
    assert settings_from(POD).worker_silence_seconds == 1800
    assert settings_from(POD | {"HEADRACE_WORKER_SILENCE_SECONDS": "60"}).worker_silence_seconds == 60


def test_a_job_is_enough() -> None:
    settings = settings_from({}, "job.json", dataset="./data", output="./runs")
    assert (settings.attempt, settings.dataset, settings.output) == (None, "./data", "./runs")
    assert settings.threads >= 1
    assert settings.workspace == Path(names.PATH_WORKSPACE)


def test_a_fraction_of_a_core_is_one_thread() -> None:
    assert settings_from(POD | {names.ENV_CPUS: "0.5"}).threads == 1
    assert settings_from(POD | {names.ENV_CPUS: "1.5"}).threads == 2


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        (names.ENV_GRACE_SECONDS, "many", "should be a valid number"),
        (names.ENV_GRACE_SECONDS, "-1", "should be greater than or equal to 0"),
        (names.ENV_GRACE_SECONDS, "inf", "should be a finite number"),
        (names.ENV_GRACE_SECONDS, "nan", "should be a finite number"),
        (names.ENV_CPUS, "nan", "should be greater than 0"),
        (names.ENV_ATTEMPT, "1.5", "should be a valid integer"),
        (names.ENV_LISTEN_PORT, "65536", "should be less than or equal to 65535"),
        ("HEADRACE_PULL_CONNECTIONS", "0", "should be greater than or equal to 1"),
    ],
)
def test_an_invalid_setting_is_named_with_what_it_should_be(name: str, text: str, wanted: str) -> None:
    with pytest.raises(FatalError, match=f"^{name}: {wanted}, but is '{text}' ") as error:
        settings_from(POD | {name: text})
    assert error.value.reason is Reason.INVALID_SPEC


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(FatalError, match=r"HEADRACE_GRACE_SECONDS: .*; HEADRACE_CPUS: "):
        settings_from(POD | {names.ENV_GRACE_SECONDS: "x", names.ENV_CPUS: "x"})


def test_no_job_is_an_error() -> None:
    with pytest.raises(
        FatalError, match=r"HEADRACE_JOB_FILE: is required \(File with the TrainingJob as JSON; you can also name it"
    ):
        settings_from({})


def test_an_empty_variable_counts_as_absent() -> None:
    assert settings_from(POD | {names.ENV_ATTEMPT: "", names.ENV_CPUS: ""}).attempt is None


def test_places_only_come_from_the_command_line() -> None:
    assert settings_from(POD | {"HEADRACE_DATASET": "./data", "HEADRACE_ENVIRONMENT": "x"}).dataset is None


def test_variables_that_the_operator_sets_are_settings() -> None:
    environment = [names.ENV_JOB_FILE, names.ENV_ATTEMPT, names.ENV_WORKSPACE, names.ENV_TERMINATION_LOG]
    environment += [names.ENV_LISTEN_HOST, names.ENV_LISTEN_PORT, names.ENV_GRACE_SECONDS, names.ENV_CPUS]
    assert set(environment) <= {variable(field) for field in Settings.model_fields}


def test_secrets_are_hidden_when_settings_are_printed() -> None:
    assert "hunter2" not in repr(settings_from(POD | {"AWS_SECRET_ACCESS_KEY": "hunter2"}))
