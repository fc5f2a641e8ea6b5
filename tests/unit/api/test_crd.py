from pathlib import Path

from headrace_api import crd, names, reference
from headrace_api.structural import structural_schema
from headrace_api.trainingjob import TrainingJobSpec, TrainingJobStatus

CHECKOUT = Path(__file__).parents[3]


def walk(schema):
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from walk(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from walk(value)


def test_the_schemas_are_structural():
    for model in (TrainingJobSpec, TrainingJobStatus):
        for node in walk(structural_schema(model, "spec")):
            assert not {"$ref", "anyOf", "const"} & set(node)


def test_the_generated_files_are_up_to_date():
    assert (CHECKOUT / "crds/headrace.dev_trainingjobs.yaml").read_text() == crd.to_yaml()
    assert (CHECKOUT / "docs/reference.md").read_text() == reference.to_markdown()


def test_defaults_are_what_the_models_make():
    spec = structural_schema(TrainingJobSpec, "spec")["properties"]
    assert spec["model"]["default"]["neck"] == {"fpn": {"channels": 256}, "bottomLevel": 3, "topLevel": 7}
    assert spec["training"]["properties"]["optimizer"]["default"] == {"adamw": {"learningRate": 0.0005, "weightDecay": 0.05}}
    assert "default" not in spec["model"]["properties"]["neck"]


def test_a_status_has_no_reason_that_only_a_trainer_gives():
    reasons = structural_schema(TrainingJobStatus, "status")["properties"]["reason"]["enum"]
    assert set(reasons) == set(names.Reason) - {names.Reason.INTERRUPTED}
