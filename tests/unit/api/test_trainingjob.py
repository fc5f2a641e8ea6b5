import re

import pytest
from pydantic import ValidationError

from headrace_api.heads import Head, HeadOptions
from headrace_api.tasks import Task
from headrace_api.trainingjob import TrainingJobSpec, parse_job


def manifest(**spec):
    return {
        "apiVersion": "headrace.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "street-1"},
        "spec": {"project": "street", "dataset": {"uri": "s3://datasets/street/"}, **spec},
    }


def test_the_smallest_job_has_good_defaults():
    spec = parse_job(manifest()).spec
    assert (spec.model.backbone.name, spec.model.neck.bottom_level, spec.model.neck.top_level) == ("resnet50", 3, 7)
    assert spec.training.optimizer.adamw.learning_rate == 0.0005
    assert spec.resources.gpus == 1


def test_a_job_survives_a_round_trip_through_json():
    job = parse_job(manifest(model={"heads": [{"name": "boxes", "annotations": "instances", "objectDetection": {}}]}))
    assert parse_job(job.model_dump(by_alias=True, exclude_none=True, mode="json")) == job


def test_a_head_knows_its_task_and_options():
    head = {"name": "tags", "annotations": "instances", "multilabelClassification": {"level": 4}}
    (parsed,) = parse_job(manifest(model={"heads": [head]})).spec.model.heads
    assert parsed.task is Task.MULTILABEL_CLASSIFICATION
    assert parsed.options.level == 4


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_v2_t", "timm/convnext_atto.d2_in1k", "timm/resnet50d"])
def test_backbones_have_the_names_of_torchvision_and_timm(name):
    assert parse_job(manifest(model={"backbone": {"name": name}})).spec.model.backbone.name == name


@pytest.mark.parametrize("task", Task)
def test_every_task_is_a_field_of_a_head(task):
    field = Head.model_fields[task.name.lower()].alias
    annotations = {} if task.self_supervised else {"annotations": "layer"}
    head = Head.model_validate({"name": "x", field: {}, **annotations})
    assert head.task is task
    assert isinstance(head.options, HeadOptions)
    assert type(head.options).__name__.lower() == field.lower()
    assert type(head.options).__doc__
    assert all(option.description for option in type(head.options).model_fields.values())


HEAD = {"name": "x", "annotations": "layer"}

REFUSED = {
    "no project": (lambda m: m["spec"].pop("project"), "project"),
    "a project that is not a DNS label": (lambda m: m["spec"].update(project="Street"), "pattern"),
    "a dataset that is not in S3": (lambda m: m["spec"].update(dataset={"uri": "/data"}), "pattern"),
    "a head without a task": (lambda m: m["spec"].update(model={"heads": [HEAD]}), "exactly one of these tasks"),
    "a head with two tasks": (
        lambda m: m["spec"].update(model={"heads": [HEAD | {"objectDetection": {}, "semanticSegmentation": {}}]}),
        "exactly one of these tasks",
    ),
    "a head that would learn from nothing": (
        lambda m: m["spec"].update(model={"heads": [{"name": "x", "regression": {}}]}),
        "a head needs annotations, the layer to learn from, unless it is autoencoding or viewInvariance",
    ),
    "two heads with the same name": (
        lambda m: m["spec"].update(model={"heads": [HEAD | {"objectDetection": {}}] * 2}),
        "two heads share a name: x",
    ),
    "a neck upside down": (
        lambda m: m["spec"].update(model={"neck": {"fpn": {}, "bottomLevel": 5, "topLevel": 4}}),
        "neck.topLevel must be at least neck.bottomLevel",
    ),
    "a neck above the backbone": (
        lambda m: m["spec"].update(model={"backbone": {"topLevel": 3}, "neck": {"fpn": {}, "bottomLevel": 4}}),
        "neck.bottomLevel must not be above backbone.topLevel",
    ),
    "a neck without a kind": (lambda m: m["spec"].update(model={"neck": {}}), "exactly one of fpn, biFpn and hybridEncoder"),
    "a neck with two kinds": (
        lambda m: m["spec"].update(model={"neck": {"fpn": {}, "biFpn": {}}}),
        "exactly one of fpn, biFpn and hybridEncoder",
    ),
    "an unknown backbone": (
        lambda m: m["spec"].update(model={"backbone": {"name": "resnet19"}}),
        "backbone.name must be one of resnet18, resnet34,",
    ),
    "more frozen levels than the backbone has": (
        lambda m: m["spec"].update(model={"backbone": {"topLevel": 3, "frozenLevels": 4}}),
        "backbone.frozenLevels must not be above backbone.topLevel",
    ),
    "initial weights that are not in S3": (lambda m: m["spec"].update(model={"initialWeights": {"uri": "/data"}}), "pattern"),
    "two optimizers": (
        lambda m: m["spec"].update(training={"optimizer": {"adamw": {}, "sgd": {}}}),
        "exactly one of adamw and sgd",
    ),
    "a misspelt field": (lambda m: m["spec"].update(modle={}), "modle"),
    "another kind": (lambda m: m.update(kind="Job"), "TrainingJob"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_manifest_is_refused_with_how_to_fix_it(case):
    document = manifest()
    spoil, message = REFUSED[case]
    spoil(document)
    with pytest.raises(ValidationError, match=re.escape(message)):
        parse_job(document)


def test_every_field_of_the_contract_is_described():
    def walk(model, path):
        for name, field in model.model_fields.items():
            assert field.description, f"{path}.{name} has no description"
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                walk(inner, f"{path}.{name}")

    walk(TrainingJobSpec, "spec")


def test_quantities_may_be_numbers():
    assert parse_job(manifest(resources={"cpu": 4})).spec.resources.cpu == "4"
