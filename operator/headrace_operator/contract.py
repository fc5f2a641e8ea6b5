"""Whether the CustomResourceDefinition in the cluster is this operator's: fields that one of them knows and the other does not.

The API server publishes what it serves at /openapi/v3, a moment after it changed; every account may read it. Fields that it does
not know it drops without an error: a status that is cut short would make the operator forget, so then it does not begin.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from headrace_api.crd import custom_resource_definition
from headrace_operator.state import Raw

MOST_NAMED = 5
"""Fields that a message names."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Paths of fields, such as `spec.model.heads[].weight`."""

    not_served: tuple[str, ...]
    """This operator knows them, and the server drops them: its definition is older."""
    not_known: tuple[str, ...]
    """The server keeps them, and this operator ignores them: its definition is newer."""

    @property
    def cuts_status(self) -> bool:
        """Whether what the operator writes would not be kept."""
        return any(path.startswith("status.") for path in self.not_served)

    def told(self) -> Iterator[str]:
        """Lines for the log."""
        if self.not_served:
            yield (
                f"the CustomResourceDefinition is older than this operator: it drops {_shortened(self.not_served)}; apply this "
                "version's (helm upgrade with crds.enabled=true, or kubectl apply --server-side -f crds/)"
            )
        if self.not_known:
            yield (
                f"the CustomResourceDefinition is newer than this operator, which ignores {_shortened(self.not_known)}; "
                "use the operator of the same version"
            )


def differences(served: Raw) -> Differences:
    """Between the served schema of a TrainingJob and this operator's own."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    ours, theirs = set(_fields(version["schema"]["openAPIV3Schema"])), set(_fields(served))
    return Differences(tuple(sorted(_outermost(ours - theirs))), tuple(sorted(_outermost(theirs - ours))))


def _fields(schema: Raw, prefix: str = "") -> Iterator[str]:
    """The paths of all fields below spec and status. The server describes the metadata in its own words."""
    for name, field in schema.get("properties", {}).items():
        if not prefix and name not in {"spec", "status"}:
            continue
        path = f"{prefix}{name}"
        yield path
        yield from _fields(field, f"{path}.")
        yield from _fields(field.get("items", {}), f"{path}[].")


def _outermost(paths: set[str]) -> set[str]:
    """Without those that lie within another one of them."""
    return {path for path in paths if not any(path.startswith((f"{other}.", f"{other}[]")) for other in paths)}


def _shortened(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:MOST_NAMED]) + (f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else "")
