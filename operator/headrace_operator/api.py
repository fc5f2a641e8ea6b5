"""The operator's requests to the Kubernetes API, and how they can fail.

    ApiError
    ├── UnavailableError      try again later: 5xx, 429, no connection, timeout
    ├── ConflictError         read it again: the object changed, or is not the expected one
    │   └── AlreadyExistsError
    ├── NotFoundError         read it again: the object is gone
    ├── ForbiddenError        the operator lacks a permission: the message names verb and resource
    ├── RefusedError          admission refused it for now: a quota, a policy
    └── InvalidError          the server will never accept this object

`kube.Kube` is the implementation; tests replace it with an in-memory or a faulty one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headrace_operator.state import ProjectKey, Raw


class ApiError(Exception):
    """A request that failed; the text says what was requested and what the server answered."""


class UnavailableError(ApiError):
    """The server could not answer; the request may or may not have been carried out."""


class ConflictError(ApiError):
    """A precondition does not hold: someone else was faster."""


class AlreadyExistsError(ConflictError):
    """An object with that name already exists."""


class NotFoundError(ApiError):
    """The object does not exist."""


class ForbiddenError(ApiError):
    """The operator's account may not do this."""


class RefusedError(ApiError):
    """Admission refused the object; it may accept it later."""


class InvalidError(ApiError):
    """The object does not validate."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of a LIST at one resourceVersion."""

    items: Sequence[Raw]
    resource_version: int


class Api(Protocol):
    """Every call sends one request and may raise an ApiError."""

    async def list_jobs(self, key: ProjectKey) -> Listing:
        """Returns one project's TrainingJobs, live: never from a cache that may lag behind."""

    async def list_pods(self, key: ProjectKey) -> Listing:
        """Returns one project's trainer pods, live."""

    async def list_all_jobs(self, namespace: str | None) -> Listing:
        """Returns the TrainingJobs in a namespace, or in all namespaces (None)."""

    async def list_all_pods(self, namespace: str | None) -> Listing:
        """Returns the trainer pods in a namespace, or in all namespaces (None)."""

    async def served_contract(self) -> Raw:
        """Returns the OpenAPI schema that the server currently uses for a TrainingJob."""

    async def patch_job_status(self, namespace: str, name: str, patch: Raw) -> Raw:
        """Sends a merge patch for the status, with `metadata.resourceVersion` as a precondition."""

    async def delete_job(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        """Deletes exactly this version of this job, along with its pods."""

    async def get_pod(self, namespace: str, name: str) -> Raw:
        """Returns a pod."""

    async def create_pod(self, manifest: Raw) -> Raw:
        """Creates a pod."""

    async def ungate_pod(self, namespace: str, name: str, uid: str, resource_version: int) -> Raw:
        """Removes the scheduling gates of exactly this version of this pod."""

    async def delete_pod(self, namespace: str, name: str, uid: str, resource_version: int | None) -> Raw:
        """Deletes this pod with its own grace period; with a resource version, only if it has not changed since."""

    async def get_lease(self, namespace: str, name: str) -> Raw:
        """Returns a Lease."""

    async def create_lease(self, manifest: Raw) -> Raw:
        """Creates a Lease."""

    async def replace_lease(self, manifest: Raw) -> Raw:
        """Replaces a Lease if its `metadata.resourceVersion` is still the given one."""

    async def get_node(self, name: str) -> Raw:
        """Returns a node."""

    async def create_event(self, manifest: Raw) -> None:
        """Creates an events.k8s.io/v1 Event."""

    async def may(self, verb: str, group: str, resource: str, subresource: str, namespace: str | None) -> bool:
        """Asks whether this account may do something (SelfSubjectAccessReview). `resource`: a kind, or an object: `pods/NAME`."""


Json = dict[str, Any]
"""An object under construction; once it is finished, it is a Raw."""
