"""TrainingJob -> trainer pod: the whole pod in one readable function. Pure; it does not change its input."""

import json
from collections.abc import Iterator
from typing import Any

from headrace_api import names
from headrace_api.storage import SecretRef, Storage
from headrace_api.trainingjob import Output, Resources, Scheduling, TrainingJobSpec
from headrace_operator.api import Json
from headrace_operator.settings import Settings
from headrace_operator.state import Job

USER = 65532
"""Numeric, because runAsNonRoot cannot check a name; the "nonroot" user of common minimal images."""
STARTUP_SECONDS = 60
"""The supervisor answers /healthz in well under a second; a container that does not answer within this time is killed."""


def pod_name(job: Job, attempt: int) -> str:
    """`<job>-<attempt>`."""
    return f"{job.name}-{attempt}"


def pod_for(job: Job, spec: TrainingJobSpec, attempt: int, settings: Settings) -> Json:
    """The pod of one attempt, gated: it cannot run until its job is confirmed to hold the project's slot.

    It has no command or arguments: the image's entrypoint is the trainer. `spec` is the job's, known to be valid here.
    """
    spec = with_defaults(spec, settings)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(job, attempt),
            "namespace": job.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_PROJECT: job.project,
                names.LABEL_JOB: job.name,
                names.LABEL_ATTEMPT: str(attempt),
            },
            "annotations": {names.ANNOTATION_JOB: _job_json(job, spec)},
            "ownerReferences": [owner_reference(job)],
        },
        "spec": {
            "schedulingGates": [{"name": names.SCHEDULING_GATE}],
            "restartPolicy": "Never",  # the operator retries, with backoff and a limit that people can understand
            "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **_scheduling(spec.scheduling),
            **_pull_secrets(settings),
            "containers": [
                {
                    "name": names.CONTAINER,
                    "image": spec.image,
                    **_pull_policy(settings),
                    "env": _environment(spec, attempt),
                    "ports": [{"name": names.PORT_NAME, "containerPort": names.PORT, "protocol": "TCP"}],
                    "resources": _resources(spec.resources),
                    "startupProbe": _probe("/healthz", failures=STARTUP_SECONDS),
                    "livenessProbe": _probe("/healthz", failures=30),
                    "readinessProbe": _probe("/readyz", failures=3),
                    "terminationMessagePath": names.PATH_TERMINATION_LOG,
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "job", "mountPath": names.PATH_JOB_DIRECTORY, "readOnly": True},
                        {"name": "workspace", "mountPath": names.PATH_WORKSPACE},
                        {"name": "temporary", "mountPath": names.PATH_TEMPORARY},
                        {"name": "shared-memory", "mountPath": "/dev/shm"},
                    ],
                }
            ],
            "volumes": [
                {"name": "job", "downwardAPI": {"items": [_job_file()]}},
                {"name": "workspace", "emptyDir": {"sizeLimit": spec.resources.workspace}},
                {"name": "temporary", "emptyDir": {}},
                # Our trainer does not use it: its data loader is threads. An image of your own may, for loader processes of
                # torch or NCCL, and runtimes give only 64 MB. What is in it counts towards the container's memory.
                {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
            ],
        },
    }


def with_defaults(spec: TrainingJobSpec, settings: Settings) -> TrainingJobSpec:
    """The spec as it runs, with the operator's storage, output and image where the job sets none."""
    storage, output = spec.storage, spec.output
    if storage is None and settings.default_storage_secret is not None:
        storage = Storage(secret_ref=SecretRef(name=settings.default_storage_secret))
    if output is None and settings.default_output_uri is not None:
        output = Output(uri=settings.default_output_uri)
    return spec.model_copy(update={"storage": storage, "output": output, "image": spec.image or settings.trainer_image})


def owner_reference(job: Job) -> Json:
    """Deletes the pod with its job. blockOwnerDeletion stays false: true would need a permission on the job's finalizers."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _job_json(job: Job, spec: TrainingJobSpec) -> str:
    """The job as the trainer reads it: what its author set, plus the operator's storage, output and image as defaults.

    `spec.image` may belong to an older release, whose trainer rejects unknown fields, so fields that the author did not set must be
    absent. The API server stores the CRD's defaults, which cannot be told apart from the author's settings; but a field with its
    default means the same as its absence, so those are left out, at any depth. `model: {}` is not the default of `model` and stays.
    The trainer fills in its own release's defaults, and job.json has the job with them: they equal ours unless a release changes an
    existing field's default. Each attempt is reduced by the operator that creates its pod: after an upgrade that changed a default,
    the stored value is no longer the default and is passed on.
    """
    given = job.raw["metadata"]
    copied = given.get("annotations", {}).get(names.ANNOTATION_DUPLICATED_FROM)
    metadata = {
        "name": job.name,
        "namespace": job.namespace,
        "uid": job.uid,
        "creationTimestamp": given["creationTimestamp"],
        **({"labels": given["labels"]} if given.get("labels") else {}),
        **({"annotations": {names.ANNOTATION_DUPLICATED_FROM: copied}} if copied else {}),
    }
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": metadata,
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True),
    }
    return json.dumps(document, separators=(",", ":"))


def _job_file() -> Json:
    path = names.PATH_JOB_FILE.removeprefix(f"{names.PATH_JOB_DIRECTORY}/")
    return {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{names.ANNOTATION_JOB}']"}}


def _environment(spec: TrainingJobSpec, attempt: int) -> list[Json]:
    values: dict[str, str] = {
        names.ENV_JOB_FILE: names.PATH_JOB_FILE,
        names.ENV_ATTEMPT: str(attempt),
        names.ENV_WORKSPACE: names.PATH_WORKSPACE,
        names.ENV_TERMINATION_LOG: names.PATH_TERMINATION_LOG,
        names.ENV_LISTEN_PORT: str(names.PORT),
        names.ENV_GRACE_SECONDS: str(spec.termination_grace_period_seconds),
        names.ENV_OPERATOR_RELEASE: names.RELEASE,
        "TMPDIR": names.PATH_TEMPORARY,
    }
    if spec.image is not None:
        values[names.ENV_IMAGE] = spec.image
    environment: list[Json] = [{"name": name, "value": value} for name, value in values.items()]
    environment.append({"name": names.ENV_LISTEN_HOST, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
    cpus = {"containerName": names.CONTAINER, "resource": "limits.cpu"}
    environment.append({"name": names.ENV_CPUS, "valueFrom": {"resourceFieldRef": cpus}})
    environment.extend(_storage_keys(spec.storage, prefix=""))
    if spec.model.initial_weights is not None:
        environment.extend(_storage_keys(spec.model.initial_weights.storage, prefix=names.ENV_INITIAL_WEIGHTS))
    return environment


def _storage_keys(storage: Storage | None, prefix: str) -> Iterator[Json]:
    """The keys of a storage's secret as environment variables, with `prefix` before their names."""
    if storage is None:
        return
    for name in names.STORAGE_ENV:
        key: dict[str, Any] = {"name": storage.secret_ref.name, "key": name}
        if name in names.STORAGE_ENV_OPTIONAL:
            key["optional"] = True
        yield {"name": prefix + name, "valueFrom": {"secretKeyRef": key}}


def _resources(resources: Resources) -> Json:
    """Requests equal limits, so that the pod is Guaranteed and the last to be evicted."""
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        amounts[names.RESOURCE_GPU] = str(resources.gpus)
    return {"requests": amounts, "limits": dict(amounts)}


def _pull_secrets(settings: Settings) -> Json:
    secrets = [{"name": name} for name in settings.trainer_pull_secrets]
    return {"imagePullSecrets": secrets} if secrets else {}


def _pull_policy(settings: Settings) -> Json:
    """Empty if not set: the API server then decides by the image's tag."""
    return {"imagePullPolicy": settings.trainer_pull_policy} if settings.trainer_pull_policy else {}


def _probe(path: str, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": names.PORT_NAME},
        "periodSeconds": 1,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _scheduling(scheduling: Scheduling) -> Json:
    """The job's scheduling settings; the pod's fields have the same names."""
    return scheduling.model_dump(mode="json", by_alias=True, exclude_none=True)
