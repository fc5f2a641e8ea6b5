"""The CRD on a real API server: what it accepts, what it refuses and with which message, which defaults it fills in."""

import copy
import json

import pytest

from headrace_local.access import KubectlError

JOB = {
    "apiVersion": "headrace.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "street-1"},
    "spec": {"project": "street", "dataset": {"uri": "s3://datasets/street/"}},
}
HEAD = {"name": "x", "annotations": "layer"}


@pytest.fixture
def apply(cluster, namespace):
    """Applies a job to the test's namespace, `spec` replacing parts of the smallest job's."""

    def run(name="street-1", **spec):
        document = copy.deepcopy(JOB)
        document["metadata"] |= {"name": name, "namespace": namespace}
        document["spec"] |= spec
        cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(document))
        return json.loads(cluster.kubectl("get", "tj", name, "-n", namespace, "-o", "json"))

    return run


@pytest.fixture
def start(cluster, namespace):
    """Writes the status of a job that has started, as the operator does."""

    def run(name="street-1"):
        status = json.dumps({"status": {"state": "Starting", "attempts": 1}})
        cluster.kubectl("patch", "tj", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", status)

    return run


def test_the_smallest_job_is_accepted_and_defaults_are_filled_in(apply):
    spec = apply()["spec"]
    assert spec["model"]["neck"] == {"fpn": {"channels": 256}, "bottomLevel": 3, "topLevel": 7}
    assert spec["training"]["optimizer"] == {"adamw": {"learningRate": 0.0005, "weightDecay": 0.05}}
    assert (spec["stop"], spec["suspend"], spec["backoffLimit"]) == (False, False, 3)


def test_timm_backbones_and_initial_weights_are_accepted(apply):
    weights = {"uri": "s3://zoo/x.safetensors", "storage": {"secretRef": {"name": "zoo"}}}
    model = apply(model={"backbone": {"name": "timm/convnext_atto.d2_in1k"}, "initialWeights": weights})["spec"]["model"]
    assert model["backbone"] == {"name": "timm/convnext_atto.d2_in1k", "topLevel": 5, "frozenLevels": 0}
    assert model["initialWeights"] == weights


def test_quantities_may_be_numbers(apply):
    assert apply(resources={"cpu": 4, "memory": "8Gi"})["spec"]["resources"]["cpu"] == 4


REFUSED = {
    "no task": ({"model": {"heads": [HEAD]}}, "a head needs exactly one of these tasks"),
    "two tasks": (
        {"model": {"heads": [HEAD | {"objectDetection": {}, "semanticSegmentation": {}}]}},
        "a head needs exactly one of these tasks",
    ),
    "two heads with the same name": ({"model": {"heads": [HEAD | {"objectDetection": {}}] * 2}}, "duplicate"),
    "two optimizers": ({"training": {"optimizer": {"adamw": {}, "sgd": {}}}}, "optimizer needs exactly one of adamw and sgd"),
    "neck upside down": ({"model": {"neck": {"fpn": {}, "bottomLevel": 5, "topLevel": 4}}}, "neck.topLevel must be at least"),
    "neck above the backbone": (
        {"model": {"backbone": {"topLevel": 3}, "neck": {"fpn": {}, "bottomLevel": 4}}},
        "neck.bottomLevel must not be above backbone.topLevel",
    ),
    "no neck": ({"model": {"neck": {}}}, "exactly one of fpn, biFpn and hybridEncoder"),
    "two necks": ({"model": {"neck": {"fpn": {}, "hybridEncoder": {}}}}, "exactly one of fpn, biFpn and hybridEncoder"),
    "frozen above the backbone": (
        {"model": {"backbone": {"topLevel": 3, "frozenLevels": 4}}},
        "backbone.frozenLevels must not be above backbone.topLevel",
    ),
    "initial weights that are not in S3": ({"model": {"initialWeights": {"uri": "/data"}}}, "initialWeights.uri"),
    "negative weight": ({"model": {"heads": [HEAD | {"objectDetection": {}, "weight": -1}]}}, "greater than or equal to 0"),
    "unknown backbone": ({"model": {"backbone": {"name": "resnet19"}}}, "resnet18"),
    "learning rate zero": ({"training": {"optimizer": {"sgd": {"learningRate": 0}}}}, "greater than 0"),
    "a dataset that is not in S3": ({"dataset": {"uri": "/data"}}, "spec.dataset.uri"),
    "a project that is not a DNS label": ({"project": "Street"}, "spec.project"),
    "a scale upside down": (
        {"training": {"augmentation": {"scale": {"min": 2, "max": 1}}}},
        "scale.max must be at least scale.min",
    ),
    "a misspelt field": ({"modle": {}}, ".spec.modle"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_manifest_is_refused_with_how_to_fix_it(apply, case):
    spec, message = REFUSED[case]
    with pytest.raises(KubectlError, match=message):
        apply(**spec)


@pytest.mark.parametrize(("name", "message"), [("x" * 53, "at most 52 characters"), ("a.b", "must be a DNS label")])
def test_a_name_that_pods_cannot_carry_is_refused(apply, name, message):
    with pytest.raises(KubectlError, match=message):
        apply(name=name)


def test_the_project_never_changes(apply):
    apply()
    with pytest.raises(KubectlError, match="project is immutable"):
        apply(project="road")


def test_stop_is_final(apply):
    apply(stop=True)
    with pytest.raises(KubectlError, match="stop is final"):
        apply(stop=False)


CHANGES = {
    "dataset": {"dataset": {"uri": "s3://datasets/other/"}},
    "storage": {"storage": {"secretRef": {"name": "other"}}},
    "output": {"output": {"uri": "s3://other/"}},
    "model": {"model": {"backbone": {"name": "resnet18"}}},
    "training": {"training": {"batchSize": 4}},
    "resources": {"resources": {"gpus": 0}},
    "scheduling": {"scheduling": {"nodeSelector": {"a": "b"}}},
    "image": {"image": "other:1"},
}


@pytest.mark.parametrize("field", CHANGES)
def test_what_is_learned_may_change_while_queued_but_not_after(apply, start, field):
    apply()
    apply(**CHANGES[field])
    apply()
    start()
    with pytest.raises(KubectlError, match=rf"spec\.{field}.* is fixed once the job has started"):
        apply(**CHANGES[field])


def test_limits_stop_and_suspend_may_change_after_the_start(apply, start):
    apply()
    start()
    training = {"maxIterations": 7, "maxTrainingHours": 1.5}
    job = apply(training=training, suspend=True, stop=True, backoffLimit=0, preRunningDeadlineSeconds=5, ttlSecondsAfterFinished=9)
    assert job["spec"]["training"]["maxIterations"] == 7


def test_jobs_of_one_project_are_selected_at_the_server(apply, cluster, namespace):
    apply(name="a", project="street")
    apply(name="b", project="road")
    names = cluster.kubectl("get", "tj", "-n", namespace, "--field-selector", "spec.project=road", "-o", "name")
    assert names.split() == ["trainingjob.headrace.dev/b"]


def test_the_columns_show_project_state_and_progress(apply, start, cluster, namespace):
    apply()
    start()
    header, row = cluster.kubectl("get", "tj", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "PROJECT", "STATE", "PROGRESS", "SCORE", "RESTARTS", "AGE"]
    assert row.split()[:3] == ["street-1", "street", "Starting"]
