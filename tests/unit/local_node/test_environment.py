from typing import Any

import pytest

from headrace_local.node.environment import (
    ConfigError,
    Objects,
    Reference,
    environment_of,
    expand,
    field_value,
    references,
)

POD: dict[str, Any] = {
    "metadata": {
        "name": "p-1",
        "namespace": "vision",
        "uid": "u-1",
        "labels": {"headrace.dev/job": "p"},
        "annotations": {"spec": 'a "quoted"\nline', "b": "2"},
    },
    "spec": {"nodeName": "n1", "serviceAccountName": "default"},
    "status": {"podIP": "127.5.5.5", "hostIP": "127.0.0.1"},
}
ALLOCATABLE = {"cpu": "8", "memory": "16Gi"}
OBJECTS: Objects = {
    Reference("Secret", "storage"): {"KEY": b"abc", "OTHER": b"def"},
    Reference("ConfigMap", "settings"): {"level": b"3"},
    Reference("Secret", "gone"): None,
}


def resolve(*env: dict[str, Any], **container: Any) -> dict[str, str]:
    return environment_of({"name": "c", "env": list(env), **container}, POD, OBJECTS, ALLOCATABLE)


def value_from(**source: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": source}


def test_a_later_variable_refers_to_an_earlier_one() -> None:
    got = resolve({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)"}, {"name": "C", "value": "3"})
    assert got == {"A": "1", "B": "1-$(C)", "C": "3"}


@pytest.mark.parametrize(
    ("text", "want"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$A ${A}", "$A ${A}"), ("$(UNKNOWN)", "$(UNKNOWN)"), ("$$$(A)", "$1")],
)
def test_only_known_variables_in_round_brackets_are_expanded(text: str, want: str) -> None:
    assert expand(text, {"A": "1"}) == want


def test_keys_of_secrets_and_config_maps_are_values() -> None:
    assert resolve(value_from(secretKeyRef={"name": "storage", "key": "KEY"})) == {"X": "abc"}
    assert resolve(value_from(configMapKeyRef={"name": "settings", "key": "level"})) == {"X": "3"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "gone", "key": "K"}}, 'secret "gone" not found'),
        ({"secretKeyRef": {"name": "storage", "key": "K"}}, "couldn't find key K in Secret vision/storage"),
        ({"configMapKeyRef": {"name": "settings", "key": "K"}}, "couldn't find key K in ConfigMap vision/settings"),
    ],
)
def test_a_missing_object_or_key_is_an_error_with_the_kubelets_message(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve(value_from(**source))
    assert str(error.value) == message
    next(iter(source.values()))["optional"] = True
    assert resolve(value_from(**source)) == {}


def test_all_keys_of_an_object_with_a_prefix_and_env_wins_over_them() -> None:
    got = resolve(
        {"name": "S_KEY", "value": "mine"},
        envFrom=[{"prefix": "S_", "secretRef": {"name": "storage"}}, {"configMapRef": {"name": "settings"}}],
    )
    assert got == {"S_KEY": "mine", "S_OTHER": "def", "level": "3"}
    with pytest.raises(ConfigError, match='secret "gone" not found'):
        resolve(envFrom=[{"secretRef": {"name": "gone"}}])
    assert resolve(envFrom=[{"secretRef": {"name": "gone", "optional": True}}]) == {}


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("metadata.name", "p-1"),
        ("metadata.namespace", "vision"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['headrace.dev/job']", "p"),
        ("metadata.annotations['spec']", 'a "quoted"\nline'),
        ("metadata.annotations['absent']", ""),
        ("metadata.annotations", 'b="2"\nspec="a \\"quoted\\"\\nline"'),
        ("spec.nodeName", "n1"),
        ("status.podIP", "127.5.5.5"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_fields_of_the_pod_are_values(path: str, want: str) -> None:
    assert field_value(path, POD) == want


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unsupported fieldPath: spec\.x; one of: metadata\.name"):
        field_value("spec.x", POD)


@pytest.mark.parametrize(
    ("resource", "divisor", "want"),
    [
        ("limits.cpu", "1", "2"),
        ("limits.memory", "1Mi", "16384"),  # not set: the node's capacity
        ("requests.cpu", "1m", "1500"),  # not set: the limit
        ("requests.memory", "1", "1024"),
    ],
)
def test_resources_are_values_in_units_of_the_divisor(resource: str, divisor: str, want: str) -> None:
    resources = {"limits": {"cpu": "1500m"}, "requests": {"memory": "1Ki"}}
    source = {"resource": resource, "divisor": divisor}
    assert resolve(value_from(resourceFieldRef=source), resources=resources) == {"X": want}


def test_the_objects_to_fetch_are_those_the_container_names() -> None:
    container = {
        "envFrom": [{"secretRef": {"name": "a"}}, {"configMapRef": {"name": "b"}}],
        "env": [
            {"name": "X", "value": "1"},
            value_from(secretKeyRef={"name": "c", "key": "k"}),
            value_from(configMapKeyRef={"name": "d", "key": "k"}),
        ],
    }
    got = set(references(container))
    assert got == {
        Reference("Secret", "a"),
        Reference("ConfigMap", "b"),
        Reference("Secret", "c"),
        Reference("ConfigMap", "d"),
    }
