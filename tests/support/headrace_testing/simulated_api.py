"""An API server in memory with the real one's resourceVersions, preconditions, 404s and 409s. For property tests.

Every call of the operator yields twice, before it takes effect and before its answer arrives, so that a driver can make
anything happen in between, kill the operator there, or lose the answer. Calls need no event loop.
"""

import pickle
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from types import coroutine
from typing import TypeVar

from headrace_api import names
from headrace_api.crd import custom_resource_definition
from headrace_operator.api import AlreadyExistsError, ApiError, ConflictError, Json, Listing, NotFoundError
from headrace_operator.clock import timestamp
from headrace_operator.state import ProjectKey, Raw
from headrace_testing.fake_clock import FakeClock

T = TypeVar("T")

Key = tuple[str, str, str]
"""Kind, namespace, name."""


@coroutine
def give_way() -> Generator[None]:
    """Yields to the driver."""
    yield


@dataclass(frozen=True)
class Change:
    """What a watch shows."""

    kind: str
    raw: Json
    deleted: bool
    actor: str
    """Who made the change; empty: the world."""

    @property
    def version(self) -> int:
        return int(self.raw["metadata"]["resourceVersion"])


@dataclass
class SimulatedServer:
    """The state that all clients share. It never changes stored objects in place, so it can hand them out directly."""

    clock: FakeClock
    on_change: Callable[[Change], None] = lambda change: None
    objects: dict[Key, Json] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    version: int = 0
    uids: int = 0

    def create(self, raw: Raw, actor: str = "") -> Json:
        key = _key(raw)
        if key in self.objects:
            raise AlreadyExistsError(f"{key} exists")
        new = _copy(dict(raw))
        self.uids += 1
        new["metadata"] |= {
            "uid": str(uuid.UUID(int=self.uids)),
            "creationTimestamp": timestamp(self.clock.now().replace(microsecond=0)),
            "generation": 1,
        }
        return self._store(new, actor)

    def get(self, kind: str, namespace: str, name: str) -> Json:
        try:
            return self.objects[kind, namespace, name]
        except KeyError as error:
            raise NotFoundError(f"no {kind} {namespace}/{name}") from error

    def list(self, kind: str) -> list[Json]:
        return [raw for key, raw in self.objects.items() if key[0] == kind]

    def update(
        self, kind: str, namespace: str, name: str, change: Callable[[Json], None], expect: Raw | None = None, actor: str = ""
    ) -> Json:
        """Changes an object; `expect` is metadata with preconditions."""
        before = self.get(kind, namespace, name)
        _check(before, expect or {})
        new = _copy(before)
        change(new)
        if new == before:
            return before
        if new.get("spec") != before.get("spec"):
            new["metadata"]["generation"] += 1
        return self._store(new, actor)

    def remove(self, kind: str, namespace: str, name: str, expect: Raw | None = None, actor: str = "") -> Json:
        """Removes the object at once."""
        raw = self.get(kind, namespace, name)
        _check(raw, expect or {})
        self.version += 1
        raw = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(self.version)}}
        del self.objects[kind, namespace, name]
        self._tell(Change(kind, raw, True, actor))
        return raw

    def delete_pod(self, namespace: str, name: str, expect: Raw | None = None, actor: str = "") -> Json:
        """Removes it at once if it has no kubelet or has ended; otherwise marks it, and its kubelet removes it."""
        raw = self.get("Pod", namespace, name)
        _check(raw, expect or {})
        if not raw["spec"].get("nodeName") or raw["status"]["phase"] in ("Succeeded", "Failed"):
            return self.remove("Pod", namespace, name, actor=actor)
        grace = raw["spec"]["terminationGracePeriodSeconds"]

        def tell(pod: Json) -> None:
            deadline = timestamp(self.clock.now() + timedelta(seconds=grace))
            if "deletionTimestamp" not in pod["metadata"]:
                pod["metadata"] |= {"deletionTimestamp": deadline, "deletionGracePeriodSeconds": grace}

        return self.update("Pod", namespace, name, tell, actor=actor)

    def _store(self, raw: Json, actor: str) -> Json:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.objects[_key(raw)] = raw
        self._tell(Change(raw["kind"], raw, False, actor))
        return raw

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        self.on_change(change)


class SimulatedApi:
    """One client of the server: implements `headrace_operator.api.Api`."""

    def __init__(self, server: SimulatedServer, actor: str = "") -> None:
        self.server = server
        self.actor = actor
        self.calls: list[str] = []
        self.listed_jobs_at = 0
        """The server's version at the last LIST of jobs, on which this client's decisions are based."""

    async def _do(self, name: str, work: Callable[[], T]) -> T:
        self.calls.append(name)
        await give_way()
        try:
            answer = work()
        except ApiError:
            await give_way()
            raise
        await give_way()
        return answer

    async def list_jobs(self, key: ProjectKey) -> Listing:
        def work() -> Listing:
            self.listed_jobs_at = self.server.version
            jobs = [raw for raw in self.server.list(names.KIND) if raw["metadata"]["namespace"] == key.namespace]
            return Listing([raw for raw in jobs if raw["spec"]["project"] == key.project], self.server.version)

        return await self._do("list_jobs", work)

    async def list_pods(self, key: ProjectKey) -> Listing:
        def work() -> Listing:
            pods = [raw for raw in self.server.list("Pod") if raw["metadata"]["namespace"] == key.namespace]
            mine = [raw for raw in pods if raw["metadata"]["labels"][names.LABEL_PROJECT] == key.project]
            return Listing(mine, self.server.version)

        return await self._do("list_pods", work)

    async def list_all_jobs(self, namespace: str | None) -> Listing:
        return await self._do("list_all_jobs", lambda: Listing(self.server.list(names.KIND), self.server.version))

    async def list_all_pods(self, namespace: str | None) -> Listing:
        return await self._do("list_all_pods", lambda: Listing(self.server.list("Pod"), self.server.version))

    async def patch_job_status(self, namespace: str, name: str, patch: Raw) -> Raw:
        def change(job: Json) -> None:
            job["status"] = _merged(job.get("status") or {}, patch["status"])

        return await self._do(
            "patch_job_status", lambda: self.server.update(names.KIND, namespace, name, change, patch["metadata"], self.actor)
        )

    async def delete_job(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        expect = {"uid": uid, "resourceVersion": str(resource_version)}
        await self._do("delete_job", lambda: self.server.remove(names.KIND, namespace, name, expect, self.actor))

    async def get_pod(self, namespace: str, name: str) -> Raw:
        return await self._do("get_pod", lambda: self.server.get("Pod", namespace, name))

    async def create_pod(self, manifest: Raw) -> Raw:
        pod = {**manifest, "status": {"phase": "Pending"}}
        return await self._do("create_pod", lambda: self.server.create(pod, self.actor))

    async def ungate_pod(self, namespace: str, name: str, uid: str, resource_version: int) -> Raw:
        expect = {"uid": uid, "resourceVersion": str(resource_version)}

        def change(pod: Json) -> None:
            pod["spec"].pop("schedulingGates", None)

        return await self._do("ungate_pod", lambda: self.server.update("Pod", namespace, name, change, expect, self.actor))

    async def delete_pod(self, namespace: str, name: str, uid: str, resource_version: int | None) -> Raw:
        expect = {"uid": uid}
        if resource_version is not None:
            expect["resourceVersion"] = str(resource_version)
        return await self._do("delete_pod", lambda: self.server.delete_pod(namespace, name, expect, self.actor))

    async def get_lease(self, namespace: str, name: str) -> Raw:
        return await self._do("get_lease", lambda: self.server.get("Lease", namespace, name))

    async def create_lease(self, manifest: Raw) -> Raw:
        return await self._do("create_lease", lambda: self.server.create(manifest, self.actor))

    async def replace_lease(self, manifest: Raw) -> Raw:
        metadata = manifest["metadata"]

        def change(lease: Json) -> None:
            lease["spec"] = manifest["spec"]

        return await self._do(
            "replace_lease",
            lambda: self.server.update("Lease", metadata["namespace"], metadata["name"], change, metadata, self.actor),
        )

    async def get_node(self, name: str) -> Raw:
        return await self._do("get_node", lambda: self.server.get("Node", "", name))

    async def create_event(self, manifest: Raw) -> None:
        return await self._do("create_event", lambda: None)

    async def served_contract(self) -> Raw:
        (version,) = custom_resource_definition()["spec"]["versions"]
        return await self._do("served_contract", lambda: version["schema"]["openAPIV3Schema"])

    async def may(self, verb: str, group: str, resource: str, subresource: str, namespace: str | None) -> bool:
        return await self._do("may", lambda: True)


def _key(raw: Raw) -> Key:
    return (raw["kind"], raw["metadata"].get("namespace", ""), raw["metadata"]["name"])


def _copy(raw: Raw) -> Json:
    """A deep copy; three times as fast as copy.deepcopy, which would take most of the tests' time."""
    copy: Json = pickle.loads(pickle.dumps(raw, pickle.HIGHEST_PROTOCOL))
    return copy


def _check(raw: Raw, expect: Raw) -> None:
    """The preconditions in metadata that the API server knows."""
    for name in ("uid", "resourceVersion"):
        if name in expect and expect[name] != raw["metadata"][name]:
            raise ConflictError(f"{_key(raw)}: {name} is {raw['metadata'][name]}, not {expect[name]}")


def _merged(old: Raw, patch: Raw) -> Json:
    """RFC 7386."""
    new = dict(old)
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        elif isinstance(value, dict) and isinstance(new.get(key), dict):
            new[key] = _merged(new[key], value)
        else:
            new[key] = _merged({}, value) if isinstance(value, dict) else value
    return new
