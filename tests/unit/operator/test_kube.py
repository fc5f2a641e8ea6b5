"""The HTTP client against a scripted server: what it asks, and what it makes of each answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from headrace_operator.api import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from headrace_operator.kube import Kube
from headrace_operator.state import ProjectKey
from headrace_testing.scripted_server import connection_to, scripted_server

KEY = ProjectKey("vision", "street")
Ask = Callable[[Kube], Awaitable[Any]]


class Server:
    """Gives every request the same answer and records it."""

    def __init__(self, status: int, answer: Any) -> None:
        self.status = status
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.observed: list[tuple[str, int]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append(
            {
                "what": f"{request.method} {request.path_qs}",
                "body": json.loads(text) if text else None,
                "type": request.headers.get("Content-Type"),
                "authorization": request.headers.get("Authorization"),
            }
        )
        if self.status == 0:
            assert request.transport is not None
            request.transport.abort()  # a connection reset
        if isinstance(self.answer, str):
            return web.Response(status=self.status or 200, text=self.answer)
        return web.json_response(self.answer, status=self.status or 200)

    def ask(self, question: Ask) -> Any:
        """What the client makes of the answer."""

        async def story() -> Any:
            async with (
                scripted_server(self.handle) as server,
                Kube(connection_to(server, "t"), lambda verb, code: self.observed.append((verb, code))) as kube,
            ):
                return await question(kube)

        return asyncio.run(story())


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


ERRORS: list[tuple[int, Any, type[ApiError]]] = [
    (404, status(404, "NotFound", 'pods "a-1" not found'), NotFoundError),
    (409, status(409, "AlreadyExists", 'pods "a-1" already exists'), AlreadyExistsError),
    (409, status(409, "Conflict", "the object has been modified"), ConflictError),
    (422, status(422, "Invalid", "metadata.uid: Invalid value: field is immutable"), ConflictError),
    (422, status(422, "Invalid", "spec.nodeSelector: Invalid value"), InvalidError),
    (400, status(400, "BadRequest", "cannot parse"), InvalidError),
    (403, status(403, "Forbidden", 'pods is forbidden: User "x" cannot create resource "pods" in API group ""'), ForbiddenError),
    (403, status(403, "Forbidden", 'pods "a-1" is forbidden: exceeded quota: q'), RefusedError),
    (403, status(403, "Forbidden", 'admission webhook "w" denied the request: teams cannot use GPUs at night'), RefusedError),
    (403, status(403, "Forbidden", 'pods "a-1" is forbidden: GPUs cannot be shared'), RefusedError),
    (400, status(400, "BadRequest", 'admission webhook "w" denied the request: no image of that registry'), RefusedError),
    (422, status(422, "Invalid", "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: too large"), RefusedError),
    (401, status(401, "Unauthorized", "Unauthorized"), UnavailableError),
    (429, status(429, "TooManyRequests", "slow down"), UnavailableError),
    (500, status(500, "InternalError", "etcdserver: request timed out"), UnavailableError),
    (503, "upstream connect error", UnavailableError),
    (504, status(504, "Timeout", "too slow"), UnavailableError),
    (0, None, UnavailableError),
]


@pytest.mark.parametrize(("code", "answer", "want"), ERRORS, ids=[f"{code}-{want.__name__}" for code, _, want in ERRORS])
def test_every_failure_has_its_type_and_says_what_was_asked(code: int, answer: Any, want: type[ApiError]) -> None:
    server = Server(code, answer)
    with pytest.raises(want) as caught:
        server.ask(lambda kube: kube.create_pod({"metadata": {"namespace": "vision", "name": "a-1"}}))
    assert type(caught.value) is want
    if want is not RefusedError:  # the user reads that one, in the job's status
        assert "POST /api/v1/namespaces/vision/pods" in str(caught.value)
    if isinstance(answer, dict):
        assert answer["message"] in str(caught.value)
    assert server.observed == [("POST", code)]


def test_a_missing_server_is_unavailable() -> None:
    async def story() -> None:
        async with Kube(connection_to("http://127.0.0.1:1")) as kube:
            await kube.get_node("n")

    with pytest.raises(UnavailableError, match="GET /api/v1/nodes/n: "):
        asyncio.run(story())


LIST = {"items": [{"metadata": {}}], "metadata": {"resourceVersion": "42"}}

QUESTIONS: list[tuple[Ask, str, Any]] = [
    (
        lambda kube: kube.list_jobs(KEY),
        "GET /apis/headrace.dev/v1alpha1/namespaces/vision/trainingjobs?fieldSelector=spec.project%3Dstreet",
        None,
    ),
    (
        lambda kube: kube.list_pods(KEY),
        "GET /api/v1/namespaces/vision/pods?labelSelector=app.kubernetes.io/managed-by%3Dheadrace,headrace.dev/project%3Dstreet",
        None,
    ),
    (lambda kube: kube.list_all_jobs(None), "GET /apis/headrace.dev/v1alpha1/trainingjobs", None),
    (
        lambda kube: kube.list_all_pods("vision"),
        "GET /api/v1/namespaces/vision/pods?labelSelector=app.kubernetes.io/managed-by%3Dheadrace",
        None,
    ),
    (
        lambda kube: kube.delete_pod("vision", "a-1", "u", 7),
        "DELETE /api/v1/namespaces/vision/pods/a-1",
        {"preconditions": {"uid": "u", "resourceVersion": "7"}},
    ),
    (
        lambda kube: kube.delete_pod("vision", "a-1", "u", None),
        "DELETE /api/v1/namespaces/vision/pods/a-1",
        {"preconditions": {"uid": "u"}},
    ),
    (
        lambda kube: kube.ungate_pod("vision", "a-1", "u", 7),
        "PATCH /api/v1/namespaces/vision/pods/a-1",
        {"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"schedulingGates": None}},
    ),
    (
        lambda kube: kube.delete_job("vision", "a", "u", 7),
        "DELETE /apis/headrace.dev/v1alpha1/namespaces/vision/trainingjobs/a",
        {"propagationPolicy": "Background", "preconditions": {"uid": "u", "resourceVersion": "7"}},
    ),
]


@pytest.mark.parametrize(("question", "want_request", "want_body"), QUESTIONS, ids=[want for _, want, _ in QUESTIONS])
def test_each_question_is_the_right_request(question: Ask, want_request: str, want_body: Any) -> None:
    server = Server(200, LIST)
    server.ask(question)
    (request,) = server.requests
    assert request["what"].replace("%2F", "/").replace("%2C", ",") == want_request
    assert request["body"] == want_body
    assert request["authorization"] == "Bearer t"
    if want_request.startswith("PATCH"):
        assert request["type"] == "application/merge-patch+json"


@pytest.mark.parametrize(("resource", "want"), [("leases", {}), ("leases/leader", {"name": "leader"})])
def test_a_permission_is_asked_for_all_objects_or_for_one(resource: str, want: dict[str, str]) -> None:
    server = Server(201, {"status": {"allowed": True}})
    assert server.ask(lambda kube: kube.may("get", "coordination.k8s.io", resource, "", "vision")) is True
    (request,) = server.requests
    asked = {"verb": "get", "group": "coordination.k8s.io", "resource": "leases", "subresource": "", "namespace": "vision"}
    assert request["body"]["spec"]["resourceAttributes"] == asked | want


def test_the_served_contract_is_found_in_the_servers_openapi() -> None:
    job = {
        "x-kubernetes-group-version-kind": [{"group": "headrace.dev", "version": "v1alpha1", "kind": "TrainingJob"}],
        "type": "object",
    }
    server = Server(
        200, {"components": {"schemas": {"io.k8s.ObjectMeta": {"type": "object"}, "dev.headrace.v1alpha1.TrainingJob": job}}}
    )
    assert server.ask(lambda kube: kube.served_contract()) == job
    assert server.requests[0]["what"] == "GET /openapi/v3/apis/headrace.dev/v1alpha1"
    with pytest.raises(NotFoundError, match="does not describe TrainingJob"):
        Server(200, {"components": {}}).ask(lambda kube: kube.served_contract())


def test_a_list_knows_its_version() -> None:
    listing = Server(200, LIST).ask(lambda kube: kube.list_jobs(KEY))
    assert (len(listing.items), listing.resource_version) == (1, 42)


def test_requests_are_counted_by_verb_and_code() -> None:
    server = Server(201, {"metadata": {}})
    server.ask(lambda kube: kube.create_event({"metadata": {"namespace": "vision"}}))
    assert server.observed == [("POST", 201)]
