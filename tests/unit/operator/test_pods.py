"""The trainer pod."""

import json
from copy import deepcopy
from typing import Any

import pytest

from headrace_api import names
from headrace_api.trainingjob import TrainingJobSpec, parse_job
from headrace_operator.pods import pod_for
from headrace_operator.settings import Settings
from headrace_testing.builders import JobBuilder, make_job

SETTINGS = Settings(trainer_image="trainer:1")


def pod_of(job: JobBuilder, attempt: int = 1, settings: Settings = SETTINGS) -> dict[str, Any]:
    view = job.view()
    assert isinstance(view.spec, TrainingJobSpec)
    return pod_for(view, view.spec, attempt, settings)


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    return {env["name"]: env.get("value", env.get("valueFrom")) for env in pod["spec"]["containers"][0]["env"]}


def test_a_pod_is_gated_until_its_job_holds_the_slot() -> None:
    assert pod_of(make_job("a"))["spec"]["schedulingGates"] == [{"name": names.SCHEDULING_GATE}]


def test_a_pod_is_named_and_labelled_for_its_attempt_and_owned_by_its_job() -> None:
    job = make_job("a").project("street")
    metadata = pod_of(job, 3)["metadata"]
    assert metadata["name"] == "a-3"
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "headrace",
        "headrace.dev/project": "street",
        "headrace.dev/job": "a",
        "headrace.dev/attempt": "3",
    }
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (job.raw["metadata"]["uid"], True, False)


def test_the_trainer_reads_the_whole_job_with_the_operators_defaults() -> None:
    settings = Settings(trainer_image="trainer:1", default_storage_secret="keys", default_output_uri="s3://out/")
    pod = pod_of(make_job("a").spec(storage=None, output=None), settings=settings)
    job = parse_job(json.loads(pod["metadata"]["annotations"][names.ANNOTATION_JOB]))
    assert job.metadata.uid
    assert job.metadata.creation_timestamp
    assert job.spec.storage is not None
    assert job.spec.output is not None
    assert (job.spec.storage.secret_ref.name, job.spec.output.uri, job.spec.image) == ("keys", "s3://out/", "trainer:1")
    (item,) = next(v for v in pod["spec"]["volumes"] if v["name"] == "job")["downwardAPI"]["items"]
    assert f"{names.PATH_JOB_DIRECTORY}/{item['path']}" == environment(pod)[names.ENV_JOB_FILE] == names.PATH_JOB_FILE
    assert names.ANNOTATION_JOB in item["fieldRef"]["fieldPath"]


def handed_over(job: JobBuilder) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(pod_of(job)["metadata"]["annotations"][names.ANNOTATION_JOB])["spec"]
    return spec


def test_the_trainer_gets_no_field_that_has_its_default() -> None:
    plain = make_job("a")
    want = handed_over(plain)
    assert want == plain.raw["spec"] | {"image": "trainer:1"}
    view = plain.view()
    assert isinstance(view.spec, TrainingJobSpec)
    stored = make_job("a").spec(**view.spec.model_dump(mode="json", by_alias=True, exclude_none=True))  # as the API server does
    assert {"training", "resources", "backoffLimit"} <= set(stored.raw["spec"])
    assert handed_over(stored) == want


SET: dict[str, dict[str, Any]] = {
    "a model without a neck, which is not the default": {"model": {}},
    "a neck of the default": {"model": {"neck": {"fpn": {"channels": 256}, "bottomLevel": 3, "topLevel": 7}}},
    "another optimizer": {"training": {"optimizer": {"sgd": {}}}},
    "a rate": {"training": {"optimizer": {"adamw": {"learningRate": 0.001}}, "maxIterations": 7}},
    "a head": {"model": {"heads": [{"name": "boxes", "annotations": "digits", "objectDetection": {}}]}},
    "resources": {"resources": {"gpus": 0, "cpu": "4"}},
    "a toleration": {"scheduling": {"tolerations": [{"key": "gpu", "operator": "Exists"}], "nodeSelector": {"zone": "a"}}},
}


@pytest.mark.parametrize("case", SET)
def test_what_the_author_set_means_the_same_to_the_trainer(case: str) -> None:
    job = make_job("a").spec(**SET[case])
    view = job.view()
    assert isinstance(view.spec, TrainingJobSpec)
    assert TrainingJobSpec.model_validate(handed_over(job)) == view.spec.model_copy(update={"image": "trainer:1"})


def test_the_trainer_gets_its_image_and_the_operators_release() -> None:
    env = environment(pod_of(make_job("a").spec(image="registry.example/trainer:0.0.9")))
    assert (env[names.ENV_IMAGE], env[names.ENV_OPERATOR_RELEASE]) == ("registry.example/trainer:0.0.9", names.RELEASE)
    assert environment(pod_of(make_job("a")))[names.ENV_IMAGE] == "trainer:1"


def test_images_are_pulled_as_the_settings_say() -> None:
    plain = pod_of(make_job("a"))["spec"]
    assert "imagePullSecrets" not in plain
    assert "imagePullPolicy" not in plain["containers"][0]
    settings = Settings(trainer_image="trainer:1", trainer_pull_policy="Always", trainer_pull_secrets=("one", "two"))
    spec = pod_of(make_job("a"), settings=settings)["spec"]
    assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"


def test_storage_keys_come_from_the_secret_and_some_may_be_missing() -> None:
    env = environment(pod_of(make_job("a")))
    for name in names.STORAGE_ENV:
        reference = env[name]["secretKeyRef"]
        assert (reference["name"], reference["key"]) == ("headrace-storage", name)
        assert reference.get("optional", False) == (name in names.STORAGE_ENV_OPTIONAL)


def test_initial_weights_have_their_own_keys_if_the_job_names_a_secret_for_them() -> None:
    prefix = "HEADRACE_INITIAL_WEIGHTS_"
    weights = {"uri": "s3://zoo/resnet18.safetensors"}
    plain = environment(pod_of(make_job("a").spec(model={"initialWeights": weights})))
    assert not [name for name in plain if name.startswith(prefix)]
    env = environment(pod_of(make_job("a").spec(model={"initialWeights": weights | {"storage": {"secretRef": {"name": "zoo"}}}})))
    for name in names.STORAGE_ENV:
        reference = env[prefix + name]["secretKeyRef"]
        assert (reference["name"], reference["key"]) == ("zoo", name)
        assert env[name]["secretKeyRef"]["name"] == "headrace-storage"


def test_the_trainers_environment() -> None:
    env = environment(pod_of(make_job("a").spec(terminationGracePeriodSeconds=45), 2))
    assert env[names.ENV_ATTEMPT] == "2"
    assert env[names.ENV_WORKSPACE] == "/workspace"
    assert env[names.ENV_GRACE_SECONDS] == "45"
    assert env[names.ENV_LISTEN_HOST] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert env[names.ENV_CPUS] == {"resourceFieldRef": {"containerName": "trainer", "resource": "limits.cpu"}}
    assert env["TMPDIR"] == "/tmp"


@pytest.mark.parametrize(("gpus", "want"), [(0, None), (1, "1")])
def test_requests_equal_limits_and_no_gpu_is_not_zero_gpus(gpus: int, want: str | None) -> None:
    resources = pod_of(make_job("a").spec(resources={"gpus": gpus}))["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"].get("nvidia.com/gpu") == want


def test_a_pod_passes_the_restricted_pod_security_standard() -> None:
    spec = pod_of(make_job("a"))["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = spec["containers"][0]["securityContext"]
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


def test_the_container_runs_the_image_as_it_is_and_only_once() -> None:
    pod = pod_of(make_job("a").spec(image="mine:2"))
    container = pod["spec"]["containers"][0]
    assert container["image"] == "mine:2"
    assert not {"command", "args"} & set(container)
    assert pod["spec"]["restartPolicy"] == "Never"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/healthz"


def test_every_folder_the_trainer_writes_to_has_its_own_volume() -> None:
    spec = pod_of(make_job("a").spec(resources={"workspace": "7Gi"}))["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["/workspace"]["emptyDir"] == {"sizeLimit": "7Gi"}
    assert mounts["/tmp"]["emptyDir"] == {}
    assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory"}


def test_scheduling_is_passed_on() -> None:
    scheduling = {
        "priorityClassName": "high",
        "nodeSelector": {"gpu": "h200"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}],
    }
    spec = pod_of(make_job("a").spec(scheduling=scheduling))["spec"]
    assert {name: spec[name] for name in scheduling} == scheduling
    assert not set(scheduling) & set(pod_of(make_job("a"))["spec"])


def test_the_job_is_not_changed() -> None:
    job = make_job("a").view()
    before = deepcopy(job.raw)
    assert job.spec is not None
    pod_for(job, job.spec, 1, SETTINGS)
    assert job.raw == before
