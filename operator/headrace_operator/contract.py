"""Compares the cluster's CustomResourceDefinition with this operator's.

The API server publishes its schema at /openapi/v3, shortly after a change; every account may read it. It drops unknown fields
without an error and rejects a status with an unknown value: with such a definition an operator would lose track of what it did, so
it does not start.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from headrace_api.crd import custom_resource_definition
from headrace_api.first_few import first_few
from headrace_operator.state import Raw

MOST_NAMED = 5
"""Number of fields that a message names."""
UPPER_BOUNDS = ("maximum", "maxLength", "maxItems", "maxProperties")
LOWER_BOUNDS = ("minimum", "minLength", "minItems", "minProperties")


@dataclass(frozen=True, slots=True)
class Differences:
    """Paths of fields, such as `spec.model.heads[].weight`."""

    not_served: tuple[str, ...]
    """Fields that the server drops: its definition is older."""
    narrower: tuple[str, ...]
    """Fields for which the server rejects values that this operator accepts or writes: its definition is older."""
    not_known: tuple[str, ...]
    """Fields that the server keeps but this operator ignores: its definition is newer."""

    def __bool__(self) -> bool:
        return bool(self.not_served or self.narrower or self.not_known)

    @property
    def cuts_status(self) -> bool:
        """Whether the server would not keep part of the status that the operator writes."""
        return any(path.startswith("status.") for path in self.not_served + self.narrower)

    def told(self) -> Iterator[str]:
        """Lines for the log."""
        if self.not_served or self.narrower:
            drops = [f"drops {first_few(self.not_served, MOST_NAMED)}"] if self.not_served else []
            refuses = [f"rejects some values of {first_few(self.narrower, MOST_NAMED)}"] if self.narrower else []
            yield (
                f"the CustomResourceDefinition is older than this operator: it {' and '.join(drops + refuses)}; apply this "
                "version's (helm upgrade with crds.enabled=true, or kubectl apply --server-side --force-conflicts -f crds/)"
            )
        if self.not_known:
            yield (
                f"the CustomResourceDefinition is newer than this operator, which ignores {first_few(self.not_known, MOST_NAMED)}; "
                "use the operator of the same version"
            )


def differences(served: Raw) -> Differences:
    """The differences between the served schema of a TrainingJob and this operator's own."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    ours, theirs = dict(_fields(version["schema"]["openAPIV3Schema"])), dict(_fields(served))
    return Differences(
        not_served=tuple(sorted(_outermost(ours.keys() - theirs.keys()))),
        narrower=tuple(sorted(path for path in ours.keys() & theirs.keys() if _narrower(theirs[path], ours[path]))),
        not_known=tuple(sorted(_outermost(theirs.keys() - ours.keys()))),
    )


def _fields(schema: Raw, prefix: str = "") -> Iterator[tuple[str, Raw]]:
    """The paths and schemas of all fields below spec and status. The server has its own schema for metadata."""
    for name, field in schema.get("properties", {}).items():
        if prefix or name in {"spec", "status"}:
            yield f"{prefix}{name}", field
            yield from _fields(field, f"{prefix}{name}.")
            if "items" in field:
                yield f"{prefix}{name}[]", field["items"]
                yield from _fields(field["items"], f"{prefix}{name}[].")


def _narrower(theirs: Raw, ours: Raw) -> bool:
    """Whether their schema rejects some value that ours allows."""
    if "enum" in theirs and not set(ours.get("enum", [None])) <= set(theirs["enum"]):
        return True
    if "pattern" in theirs and theirs["pattern"] != ours.get("pattern"):
        return True
    return any(key in theirs and (key not in ours or theirs[key] < ours[key]) for key in UPPER_BOUNDS) or any(
        key in theirs and (key not in ours or theirs[key] > ours[key]) for key in LOWER_BOUNDS
    )


def _outermost(paths: set[str]) -> set[str]:
    """Without those inside another one."""
    return {path for path in paths if not any(path.startswith((f"{other}.", f"{other}[]")) for other in paths)}
