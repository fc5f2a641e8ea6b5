"""Histories of a project: users, a cluster and operators, in which any API call can be interleaved, lost or the last one.

Nothing runs and no time passes by itself: a test (or hypothesis) decides what happens next.
"""

from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

from headrace_api import names
from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_operator.actions import Actions
from headrace_operator.api import ApiError, Json, UnavailableError
from headrace_operator.cache import Cache
from headrace_operator.metrics import Metrics
from headrace_operator.reconcile import Reconciler
from headrace_operator.settings import Settings
from headrace_operator.slot import Slots
from headrace_operator.state import ProjectKey
from headrace_testing.builders import manifest, outcome
from headrace_testing.fake_clock import FakeClock
from headrace_testing.invariants import Checker
from headrace_testing.simulated_api import Change, SimulatedApi, SimulatedServer

KEY = ProjectKey("ns", "p")
SETTINGS = Settings(trainer_image="trainer:1")
METRICS = Metrics()
KINDS = (names.KIND, "Pod")
"""What operators watch."""


class SimulatedOperator:
    """One operator that believes it leads. Each `step` takes its pass half an API call further."""

    def __init__(self, server: SimulatedServer, name: str) -> None:
        self.server = server
        self.name = name
        self.boots = 0
        self.boot()

    def boot(self) -> None:
        """A new process: it remembers nothing and LISTs everything."""
        self.boots += 1
        self.api = SimulatedApi(self.server, self.name)
        self.cache = Cache()
        slots = Slots(self.api, self.server.clock)
        actions = Actions(
            api=self.api,
            cache=self.cache,
            slots=slots,
            settings=SETTINGS,
            clock=self.server.clock,
            metrics=METRICS,
            emit=lambda event: None,
            identity=self.name,
        )
        self.reconciler = Reconciler(
            api=self.api, cache=self.cache, slots=slots, actions=actions, settings=SETTINGS, clock=self.server.clock
        )
        self.running: Coroutine[Any, Any, datetime | None] | None = None
        self.wake: datetime | None = None
        self.began = 0
        """The server's version when the pass began: if the pass starts a job, it must not rely on anything older."""
        self.seen = dict.fromkeys(KINDS, len(self.server.history))
        self.cache.jobs.replace_all(run(self.api.list_all_jobs(None)), lambda key: True)
        self.cache.pods.replace_all(run(self.api.list_all_pods(None)), lambda key: True)

    def crash(self) -> None:
        """Dies where it is, and another process takes over."""
        if self.running is not None:
            self.running.close()
        self.boot()

    def deliver(self, count: int = 1_000_000, kinds: Sequence[str] = KINDS) -> None:
        """Its watches, one per kind, show this many more changes: one of them may be far behind the other."""
        for kind in kinds:
            cached: Any = self.cache.jobs if kind == names.KIND else self.cache.pods
            for change in self.server.history[self.seen[kind] : self.seen[kind] + count]:
                if change.kind == kind:
                    (cached.remove if change.deleted else cached.put)(change.raw)
                self.seen[kind] += 1

    def step(self, error: Exception | None = None) -> bool:
        """Continues to its next half call, or gets an error there. Returns whether the pass continues."""
        if self.running is None:
            self.running, self.began = self.reconciler.reconcile(KEY), self.server.version
            error = None
        try:
            if error is None:
                self.running.send(None)
            else:
                self.running.throw(error)
        except StopIteration as end:
            self.running, self.wake = None, end.value
        except ApiError:
            self.running, self.wake = None, self.server.clock.now()
        return self.running is not None

    def lose_answer(self) -> None:
        """The connection breaks: a request on its way may or may not have been carried out."""
        if self.running is not None:
            self.step(UnavailableError("connection reset"))

    def finish_pass(self) -> None:
        """Finishes the running pass, or a new one."""
        while self.step():
            pass


def run(call: Any) -> Any:
    """The answer to one API call, with nothing in between."""
    try:
        while True:
            call.send(None)
    except StopIteration as end:
        return end.value


class Simulation:
    """The world around the operators, and the checker that sees every change."""

    def __init__(self, operators: int = 1) -> None:
        self.clock = FakeClock()
        self.checker = Checker()
        self.server = SimulatedServer(self.clock, self._check)
        self.operators: list[SimulatedOperator] = []
        self.nodes = 1
        self._make_node()
        for number in range(operators):
            self.operators.append(SimulatedOperator(self.server, f"operator-{number}"))

    def _check(self, change: Change) -> None:
        by = next((operator for operator in self.operators if operator.name == change.actor), None)
        decided = max(by.api.listed_jobs_at, by.began) if by else change.version
        self.checker.see(change.kind, change.raw, change.deleted, change.version, decided)

    # --- Users ------------------------------------------------------------------------------------------------------

    def apply(self, name: str, **spec: Any) -> None:
        if (names.KIND, KEY.namespace, name) not in self.server.objects:
            self.server.create(manifest(name, KEY.project, KEY.namespace, **spec))

    def change(self, name: str, **spec: Any) -> None:
        """Changes the spec, as far as the API server would allow it."""

        def patch(job: Json) -> None:
            if not (job["spec"].get("stop") and not spec.get("stop", True)):
                job["spec"] |= spec

        if (names.KIND, KEY.namespace, name) in self.server.objects:
            self.server.update(names.KIND, KEY.namespace, name, patch)

    def delete(self, name: str) -> None:
        if (names.KIND, KEY.namespace, name) in self.server.objects:
            self.server.remove(names.KIND, KEY.namespace, name)

    def job(self, name: str) -> Json:
        return self.server.get(names.KIND, KEY.namespace, name)

    # --- The cluster ------------------------------------------------------------------------------------------------

    def pods(self) -> list[Json]:
        return self.server.list("Pod")

    def schedule(self, pod: Json) -> None:
        if not pod["spec"].get("schedulingGates") and not pod["spec"].get("nodeName"):
            self._pod(pod, lambda p: p["spec"].update(nodeName=self.node))

    def ready(self, pod: Json) -> None:
        if pod["spec"].get("nodeName") == self.node and pod["status"]["phase"] == "Pending":
            conditions = [{"type": "Ready", "status": "True"}]
            self._pod(pod, lambda p: p["status"].update(phase="Running", conditions=conditions, podIP="127.0.0.9"))

    def exit(self, pod: Json, code: int, message: str = "") -> None:
        """Its container ends, unless the pod has no node."""
        if pod["spec"].get("nodeName") == self.node and pod["status"]["phase"] in ("Pending", "Running"):
            terminated = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
            state = [{"name": names.CONTAINER, "state": {"terminated": terminated}}]
            phase = "Failed" if code else "Succeeded"
            self._pod(pod, lambda p: p["status"].update(phase=phase, containerStatuses=state, conditions=[]))

    def done(self, pod: Json) -> None:
        self.exit(pod, 0, outcome(Verdict.DONE, Reason.REACHED_MAX_ITERATIONS, iteration=10))

    def end_told(self, pod: Json, code: int = 0) -> None:
        """A kubelet ends a pod that is being deleted, then removes it."""
        if "deletionTimestamp" not in pod["metadata"] or pod["spec"].get("nodeName") != self.node:
            return
        if pod["status"]["phase"] in ("Pending", "Running"):
            self.exit(pod, code, outcome(Verdict.STOPPED, Reason.INTERRUPTED) if code == 0 else "")
        else:
            self.force_delete(pod)

    def evict(self, pod: Json) -> None:
        told = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        self._pod(pod, lambda p: p["status"].update(conditions=[*p["status"].get("conditions", []), told]))
        self.delete_pod(pod)

    def lose_node(self) -> None:
        """Replaces the node; pods of the lost one are not Ready, and nothing ends them."""
        for pod in self.pods():
            if pod["spec"].get("nodeName") == self.node:
                self._pod(pod, lambda p: p["status"].update(conditions=[{"type": "Ready", "status": "False"}]))
        self.server.remove("Node", "", self.node)
        self.nodes += 1
        self._make_node()

    @property
    def node(self) -> str:
        """The current node."""
        return f"node-{self.nodes}"

    def _make_node(self) -> None:
        self.server.create({"kind": "Node", "metadata": {"name": self.node}, "spec": {}})

    def delete_pod(self, pod: Json) -> None:
        self.server.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def force_delete(self, pod: Json) -> None:
        self.server.remove("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])

    def collect_garbage(self) -> None:
        """Deletes pods and Leases whose owner is gone and, by force, pods of lost nodes."""
        for pod in self.pods():
            if pod["spec"].get("nodeName") not in (None, self.node):
                self.force_delete(pod)
        uids = {raw["metadata"]["uid"] for raw in self.server.list(names.KIND)}
        for kind in ("Pod", "Lease"):
            for raw in self.server.list(kind):
                metadata = raw["metadata"]
                if any(owner["uid"] not in uids for owner in metadata["ownerReferences"]) and "deletionTimestamp" not in metadata:
                    (self.delete_pod if kind == "Pod" else self._remove_lease)(raw)

    def _remove_lease(self, lease: Json) -> None:
        self.server.remove("Lease", lease["metadata"]["namespace"], lease["metadata"]["name"])

    def _pod(self, pod: Json, change: Any) -> None:
        metadata = pod["metadata"]
        self.server.update("Pod", metadata["namespace"], metadata["name"], change)

    # --- To the end ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Faults stop, one operator is left, every trainer ends well: then all jobs must end, whatever happened before."""
        operator = self.operators[0]
        operator.crash()
        for _ in range(2000):
            version = self.server.version
            for pod in self.pods():
                self.schedule(pod)
            for pod in self.pods():
                self.end_told(pod) if "deletionTimestamp" in pod["metadata"] else self.done(pod)
            self.collect_garbage()
            operator.deliver()
            operator.finish_pass()
            if self.server.version == version:
                if operator.wake is None:
                    self.checker.at_rest()
                    return
                self.clock.time = max(self.clock.time, operator.wake)
        raise AssertionError("the operator never comes to rest")
