"""What a replica says about a cluster that is not ready for it, and what it waits for."""

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Any

import pytest

from headrace_api.crd import custom_resource_definition
from headrace_operator import preflight as module
from headrace_operator.api import ForbiddenError, UnavailableError
from headrace_operator.contract import differences
from headrace_operator.preflight import Preflight
from headrace_operator.settings import Settings
from headrace_operator.state import Raw
from headrace_testing.fake_clock import FakeClock
from headrace_testing.simulated_api import SimulatedApi, SimulatedServer

Schema = dict[str, Any]


def served(change: Callable[[Schema, Schema], object] = lambda _spec, _status: None) -> Schema:
    """The schema from this operator's own CustomResourceDefinition, with the fields of its spec and status changed."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    schema: Schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
    change(schema["properties"]["spec"]["properties"], schema["properties"]["status"]["properties"])
    return schema


class Cluster(SimulatedApi):
    """A cluster that serves these descriptions of TrainingJobs, one after the other; an error is raised."""

    def __init__(self, *answers: Raw | Exception) -> None:
        super().__init__(SimulatedServer(FakeClock()), "a")
        self.answers = list(answers)
        self.asked: list[str] = []

    async def served_contract(self) -> Raw:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def may(self, verb: str, group: str, resource: str, subresource: str, namespace: str | None) -> bool:
        self.asked.append(f"{verb} {resource}/{subresource} in {namespace}")
        return verb != "watch"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(module, "PUBLISHED_SECONDS", 0)


def passed(cluster: Cluster) -> None:
    async def run() -> None:
        async with asyncio.timeout(5):
            await Preflight(cluster, Settings(trainer_image="trainer:1")).passed()

    asyncio.run(run())


def test_fields_are_compared_to_the_innermost_and_named_by_the_outermost() -> None:
    def change(spec: Schema, status: Schema) -> None:
        del spec["model"]["properties"]["heads"]["items"]["properties"]["weight"]
        del status["progress"]
        spec["dataset"]["properties"]["revision"] = {"type": "string"}

    found = differences(served(change))
    assert found.not_served == ("spec.model.heads[].weight", "status.progress")
    assert found.not_known == ("spec.dataset.revision",)


def test_values_that_the_server_would_refuse_are_found() -> None:
    def change(spec: Schema, status: Schema) -> None:
        status["reason"]["enum"].remove("NodeLost")
        status["message"]["maxLength"] -= 1
        spec["backoffLimit"]["minimum"] += 1
        spec["ttlSecondsAfterFinished"]["maximum"] = 10**12  # allows more than ours

    found = differences(served(change))
    assert found.narrower == ("spec.backoffLimit", "status.message", "status.reason")
    assert found.cuts_status
    assert not found.not_served + found.not_known


def test_a_definition_of_the_same_version_passes_without_a_message(caplog: pytest.LogCaptureFixture) -> None:
    passed(Cluster(served()))
    assert "CustomResourceDefinition" not in caplog.text


def test_it_waits_while_the_definition_would_prune_the_status(caplog: pytest.LogCaptureFixture) -> None:
    older = served(lambda _, status: status.pop("lastAttempt"))
    passed(Cluster(older, older, older, older, served()))
    said = [record.message for record in caplog.records if "older than this operator" in record.message]
    assert len(said) == 1, "logged once, however long it lasts"
    assert "not ready to work" in said[0]
    assert "status.lastAttempt" in said[0]
    assert "crds.enabled=true" in said[0]


def test_it_waits_while_the_definition_lacks_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    """The server would refuse the whole status, and with it the news that the attempt is over."""
    older = served(lambda _, status: status["reason"]["enum"].remove("NodeLost"))
    passed(Cluster(older, older, served()))
    assert "not ready to work" in caplog.text
    assert "it rejects some values of status.reason" in caplog.text


def test_a_definition_that_lacks_a_field_of_the_spec_is_reported_and_used(caplog: pytest.LogCaptureFixture) -> None:
    passed(Cluster(served(lambda spec, _: spec.pop("backoffLimit"))))
    assert "older than this operator: it drops spec.backoffLimit" in caplog.text
    assert "not ready" not in caplog.text


def test_a_newer_definition_is_reported_and_used(caplog: pytest.LogCaptureFixture) -> None:
    passed(Cluster(served(lambda spec, _: spec.update(quota={"type": "string"}))))
    assert "newer than this operator, which ignores spec.quota" in caplog.text
    assert "not ready" not in caplog.text


def test_a_stale_description_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    passed(Cluster(served(lambda spec, _: spec.pop("backoffLimit")), served()))
    assert "CustomResourceDefinition" not in caplog.text


@pytest.mark.parametrize("error", [ForbiddenError("no"), UnavailableError("busy")])
def test_permissions_are_checked_once_however_often_it_starts_over(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    cluster = Cluster(error, error, error, served())
    passed(cluster)
    assert len(cluster.asked) == len(set(cluster.asked)), "a permission was asked for twice"
    assert "may not watch pods" in caplog.text
