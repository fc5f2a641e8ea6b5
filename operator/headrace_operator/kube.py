"""`Api` over HTTP: paths, bodies, and what each refusal means to the operator.

It never retries: on `UnavailableError`, the work queue waits.
"""

import re
from typing import cast

from headrace_api import names
from headrace_kube.client import JSON, MERGE_PATCH, Client, Observe
from headrace_kube.connection import Connection
from headrace_kube.errors import NoAnswerError, StatusError
from headrace_operator.api import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    Json,
    Listing,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from headrace_operator.state import ProjectKey, Raw

JOBS = f"/apis/{names.GROUP}/{names.VERSION}"
CORE = "/api/v1"
LEASES = "/apis/coordination.k8s.io/v1"
EVENTS = "/apis/events.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

TIMEOUT_SECONDS = 15
"""At the defaults, longer than a leader may go without renewing its Lease, so a later answer is useless."""
SELECT_TRAINERS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


class Kube:
    """See `Api`. Use as an async context manager.

    Raises:
        NoClusterError: the connection's certificates cannot be used.
    """

    def __init__(self, connection: Connection, observe: Observe = lambda _verb, _code: None) -> None:
        self._client = Client(connection, "headrace-operator", TIMEOUT_SECONDS, observe=observe)

    async def __aenter__(self) -> "Kube":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__()

    # --- TrainingJobs ---------------------------------------------------------------------------------------------

    async def list_jobs(self, key: ProjectKey) -> Listing:
        path = f"{JOBS}/namespaces/{key.namespace}/{names.PLURAL}"
        return await self._list(path, {"fieldSelector": f"spec.project={key.project}"})

    async def list_all_jobs(self, namespace: str | None) -> Listing:
        return await self._list(f"{JOBS}{_in(namespace)}/{names.PLURAL}", {})

    async def served_contract(self) -> Raw:
        document = await self._request("GET", f"/openapi/v3{JOBS}")
        kind = {"group": names.GROUP, "version": names.VERSION, "kind": names.KIND}
        for schema in document.get("components", {}).get("schemas", {}).values():
            if kind in schema.get("x-kubernetes-group-version-kind", []):
                return cast(Json, schema)
        raise NotFoundError(f"GET /openapi/v3{JOBS}: the server does not describe {names.KIND} (yet)")

    async def patch_job_status(self, namespace: str, name: str, patch: Raw) -> Raw:
        path = f"{JOBS}/namespaces/{namespace}/{names.PLURAL}/{name}/status"
        return await self._request("PATCH", path, patch, content_type=MERGE_PATCH)

    async def delete_job(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        options = {
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": str(resource_version)},
        }
        await self._request("DELETE", f"{JOBS}/namespaces/{namespace}/{names.PLURAL}/{name}", options)

    # --- Pods -----------------------------------------------------------------------------------------------------

    async def list_pods(self, key: ProjectKey) -> Listing:
        selector = f"{SELECT_TRAINERS},{names.LABEL_PROJECT}={key.project}"
        return await self._list(f"{CORE}/namespaces/{key.namespace}/pods", {"labelSelector": selector})

    async def list_all_pods(self, namespace: str | None) -> Listing:
        return await self._list(f"{CORE}{_in(namespace)}/pods", {"labelSelector": SELECT_TRAINERS})

    async def get_pod(self, namespace: str, name: str) -> Raw:
        return await self._request("GET", f"{CORE}/namespaces/{namespace}/pods/{name}")

    async def create_pod(self, manifest: Raw) -> Raw:
        return await self._request("POST", f"{CORE}/namespaces/{manifest['metadata']['namespace']}/pods", manifest)

    async def ungate_pod(self, namespace: str, name: str, uid: str, resource_version: int) -> Raw:
        # The uid in a patch is a precondition, like the resourceVersion: metadata.uid cannot be changed.
        patch = {"metadata": {"uid": uid, "resourceVersion": str(resource_version)}, "spec": {"schedulingGates": None}}
        return await self._request("PATCH", f"{CORE}/namespaces/{namespace}/pods/{name}", patch, content_type=MERGE_PATCH)

    async def delete_pod(self, namespace: str, name: str, uid: str, resource_version: int | None) -> Raw:
        preconditions = {"uid": uid}
        if resource_version is not None:
            preconditions["resourceVersion"] = str(resource_version)
        return await self._request("DELETE", f"{CORE}/namespaces/{namespace}/pods/{name}", {"preconditions": preconditions})

    # --- Leases, nodes, events, permissions -----------------------------------------------------------------------

    async def get_lease(self, namespace: str, name: str) -> Raw:
        return await self._request("GET", f"{LEASES}/namespaces/{namespace}/leases/{name}")

    async def create_lease(self, manifest: Raw) -> Raw:
        return await self._request("POST", f"{LEASES}/namespaces/{manifest['metadata']['namespace']}/leases", manifest)

    async def replace_lease(self, manifest: Raw) -> Raw:
        metadata = manifest["metadata"]
        return await self._request("PUT", f"{LEASES}/namespaces/{metadata['namespace']}/leases/{metadata['name']}", manifest)

    async def get_node(self, name: str) -> Raw:
        return await self._request("GET", f"{CORE}/nodes/{name}")

    async def create_event(self, manifest: Raw) -> None:
        await self._request("POST", f"{EVENTS}/namespaces/{manifest['metadata']['namespace']}/events", manifest)

    async def may(self, verb: str, group: str, resource: str, subresource: str, namespace: str | None) -> bool:
        plural, _, name = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plural, "subresource": subresource, "namespace": namespace or ""}
        if name:
            attributes["name"] = name
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        return bool((await self._request("POST", REVIEWS, review))["status"].get("allowed"))

    # --- HTTP -----------------------------------------------------------------------------------------------------

    async def _list(self, path: str, query: dict[str, str]) -> Listing:
        # Without a resourceVersion in the query, the server answers with the newest state, not with whatever its cache holds.
        answer = await self._request("GET", path, query=query)
        return Listing(answer["items"], int(answer["metadata"]["resourceVersion"]))

    async def _request(
        self, verb: str, path: str, body: Raw | None = None, content_type: str = JSON, query: dict[str, str] | None = None
    ) -> Json:
        try:
            return await self._client.request(verb, path, body, content_type, query)
        except NoAnswerError as error:
            raise UnavailableError(f"{verb} {path}: {error}") from error
        except StatusError as error:
            raise _error(f"{verb} {path}", error) from error


def _in(namespace: str | None) -> str:
    return f"/namespaces/{namespace}" if namespace else ""


_RBAC_DENIES = re.compile(r" cannot \w+ resource \"")
_POLICY_DENIES = re.compile(r"denied (the )?request")
"""How webhooks (400 unless they choose a code) and ValidatingAdmissionPolicy (422) refuse an object. They may accept it later, once
the object or the policy changes."""


def _error(what: str, refusal: StatusError) -> ApiError:
    """What a refusal means to the operator."""
    status, reason, message = refusal.status, refusal.reason, refusal.message
    text = f"{what}: {status} {reason}: {message}"
    if status == 404:
        return NotFoundError(text)
    if status == 409:
        return AlreadyExistsError(text) if reason == "AlreadyExists" else ConflictError(text)
    if status == 403 or _POLICY_DENIES.search(message):
        # RBAC says `User "..." cannot create resource "pods" ...`; admission says `pods "..." is forbidden: exceeded quota ...`.
        return ForbiddenError(text) if _RBAC_DENIES.search(message) else RefusedError(message)
    if status == 422:
        # "Invalid value: field is immutable": the uid in the merge patch differs, so another object has the name now.
        return ConflictError(text) if "metadata.uid" in message else InvalidError(text)
    if status == 429 or status >= 500 or status == 401:
        return UnavailableError(text)  # 401: the token has expired; the next request reads the new one
    return InvalidError(text)
