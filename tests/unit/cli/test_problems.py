"""What is wrong with a manifest, and what would be right."""

from typing import Any

import pytest
from pydantic import ValidationError

from headrace_api.trainingjob import TrainingJob
from headrace_cli.problems import problems


def problems_of(spec: dict[str, Any]) -> list[str]:
    document = {"metadata": {"name": "j"}, "spec": {"project": "p", "dataset": {"uri": "s3://data/x/"}, **spec}}
    with pytest.raises(ValidationError) as error:
        TrainingJob.model_validate(document)
    return problems(error.value, TrainingJob)


def test_a_bound_is_named_with_what_was_given_and_what_the_field_is() -> None:
    assert problems_of({"training": {"batchSize": 0}}) == [
        "spec.training.batchSize: should be greater than or equal to 1, but is 0 (Images per step.)"
    ]


def test_a_misspelt_field_is_recognised() -> None:
    assert problems_of({"training": {"batchsize": 8}}) == [
        "spec.training.batchsize: there is no such field; did you mean 'batchSize'?"
    ]


def test_an_unknown_field_is_answered_with_those_there_are() -> None:
    (line,) = problems_of({"dataset": {"uri": "s3://data/x/", "zzz": 1}})
    assert line == "spec.dataset.zzz: there is no such field; the fields here are uri, maxBadImages"


def test_a_missing_field_says_what_it_is_for() -> None:
    (line,) = problems_of({"dataset": {}})
    assert line == "spec.dataset.uri: is required (Folder of the dataset, with or without a dataset.json at its root.)"


def test_inside_a_list_the_entry_is_numbered() -> None:
    (line,) = problems_of({"model": {"heads": [{"name": "a", "annotations": "x", "objectDetection": {"maxDetection": 5}}]}})
    assert line == "spec.model.heads.0.objectDetection.maxDetection: there is no such field; did you mean 'maxDetections'?"


def test_a_rule_across_fields_is_told_in_its_own_words() -> None:
    (line,) = problems_of({"model": {"heads": [{"name": "a", "annotations": "x"}]}})
    assert line.startswith("spec.model.heads.0: a head needs exactly one of these tasks: panopticSegmentation")


def test_every_problem_gets_a_line() -> None:
    assert len(problems_of({"training": {"batchSize": 0, "seed": -1, "precision": "float8"}, "stop": "maybe"})) == 4
