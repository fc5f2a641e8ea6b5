"""Resolves a container's environment and words as a kubelet does. Pure: the caller fetches referenced objects first."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headrace_api.quantity import in_units

Kind = Literal["Secret", "ConfigMap"]
Json = Mapping[str, Any]

_VARIABLE = re.compile(r"\$(?:\$|\(([^()\s]*)\))")
# A name that a C program can have in its environment; other envFrom keys are skipped, as a kubelet does.
_USABLE_NAME = re.compile(r"[^=\x00]+")


class ConfigError(Exception):
    """The container cannot be configured yet: CreateContainerConfigError with this message."""


@dataclass(frozen=True, order=True)
class Reference:
    """A Secret or ConfigMap of the pod's namespace."""

    kind: Kind
    name: str


# The objects' contents by reference: key to bytes, or None for an object that does not exist.
Objects = Mapping[Reference, Mapping[str, bytes] | None]


def references(container: Json) -> Iterator[Reference]:
    """The objects that a container's environment refers to."""
    for source in container.get("envFrom", ()):
        if "secretRef" in source:
            yield Reference("Secret", source["secretRef"]["name"])
        if "configMapRef" in source:
            yield Reference("ConfigMap", source["configMapRef"]["name"])
    for variable in container.get("env", ()):
        value_from = variable.get("valueFrom", {})
        if "secretKeyRef" in value_from:
            yield Reference("Secret", value_from["secretKeyRef"]["name"])
        if "configMapKeyRef" in value_from:
            yield Reference("ConfigMap", value_from["configMapKeyRef"]["name"])


def environment_of(container: Json, pod: Json, objects: Objects, allocatable: Mapping[str, str]) -> dict[str, str]:
    """Every variable of `envFrom` and `env` (the later wins), with $(NAME) expanded from the earlier ones.

    `pod` has the address in its status; `allocatable` replaces limits that are not set. Raises ConfigError.
    """
    result: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        result |= _all_keys(source, objects)
    for variable in container.get("env", ()):
        if "valueFrom" in variable:
            value = _referred(variable["valueFrom"], container, pod, objects, allocatable)
            if value is None:
                continue
        else:
            value = expand(variable.get("value", ""), result)
        result[variable["name"]] = value
    return result


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME); `$$` stands for `$`, and unknown variables stay as they are."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return _VARIABLE.sub(value, text)


def field_value(path: str, pod: Json) -> str:
    """A downward-API field (`fieldRef.fieldPath`) of the pod. Raises ConfigError for one that does not exist."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    if subscript := re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path):
        value: str = metadata.get(subscript[1], {}).get(subscript[2], "")
        return value
    fields: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: metadata["name"],
        "metadata.namespace": lambda: metadata["namespace"],
        "metadata.uid": lambda: metadata["uid"],
        "metadata.labels": lambda: _listing(metadata.get("labels", {})),
        "metadata.annotations": lambda: _listing(metadata.get("annotations", {})),
        "spec.nodeName": lambda: spec["nodeName"],
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName", ""),
        "status.hostIP": lambda: status["hostIP"],
        "status.hostIPs": lambda: status["hostIP"],
        "status.podIP": lambda: status["podIP"],
        "status.podIPs": lambda: status["podIP"],
    }
    if path not in fields:
        raise ConfigError(f"unsupported fieldPath: {path}; one of: {', '.join(fields)}")
    return fields[path]()


def resource_value(selector: Json, container: Json, allocatable: Mapping[str, str]) -> str:
    """A `resourceFieldRef` as an integer: `limits.cpu` in cores, `requests.memory` in bytes, divided by the divisor.

    Limits default to what the node offers, requests to the limit, as on a kubelet.
    """
    kind, _, resource = selector["resource"].partition(".")
    resources = container.get("resources", {})
    limit = resources.get("limits", {}).get(resource)
    if kind == "limits":
        quantity = limit or allocatable.get(resource, "0")
    else:
        quantity = resources.get("requests", {}).get(resource) or limit or "0"
    return str(in_units(str(quantity), str(selector.get("divisor", "0"))))


def _all_keys(source: Json, objects: Objects) -> dict[str, str]:
    kind: Kind = "Secret" if "secretRef" in source else "ConfigMap"
    selector = source["secretRef" if kind == "Secret" else "configMapRef"]
    data = objects.get(Reference(kind, selector["name"]))
    if data is None:
        if selector.get("optional"):
            return {}
        raise ConfigError(f'{kind.lower()} "{selector["name"]}" not found')
    prefix = source.get("prefix", "")
    names = {prefix + key: value for key, value in data.items()}
    return {name: value.decode() for name, value in names.items() if _USABLE_NAME.fullmatch(name)}


def _referred(value_from: Json, container: Json, pod: Json, objects: Objects, allocatable: Mapping[str, str]) -> str | None:
    """The value of one `valueFrom`; None if the target of an optional reference does not exist."""
    if "fieldRef" in value_from:
        return field_value(value_from["fieldRef"]["fieldPath"], pod)
    if "resourceFieldRef" in value_from:
        return resource_value(value_from["resourceFieldRef"], container, allocatable)
    if "secretKeyRef" in value_from:
        return _key("Secret", value_from["secretKeyRef"], pod, objects)
    if "configMapKeyRef" in value_from:
        return _key("ConfigMap", value_from["configMapKeyRef"], pod, objects)
    raise ConfigError(f"unsupported valueFrom: {', '.join(value_from)}")


def _key(kind: Kind, selector: Json, pod: Json, objects: Objects) -> str | None:
    name, key = selector["name"], selector["key"]
    data = objects.get(Reference(kind, name))
    if data is not None and key in data:
        return data[key].decode()
    if selector.get("optional"):
        return None
    if data is None:
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in {kind} {pod['metadata']['namespace']}/{name}")


def _listing(pairs: Mapping[str, str]) -> str:
    """Labels or annotations as the downward API writes them: sorted `key="value"` lines, the value quoted."""
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(pairs.items()))


def _quoted(value: str) -> str:
    """Quotes a string like Go's %q, for everything that annotations usually contain."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(letter, letter) for letter in value) + '"'
