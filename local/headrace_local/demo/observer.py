"""What the demo sees through the API alone: the jobs, their pods, and every state of each job."""

from dataclasses import dataclass, field
from typing import Any

from headrace_api import names
from headrace_api.names import State
from headrace_kube.blocking import BlockingClient
from headrace_kube.client import MERGE_PATCH
from headrace_local.demo.jobs import NAMESPACE, DemoJob

JOBS = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{NAMESPACE}/{names.PLURAL}"


@dataclass
class Observed:
    """All observations of one job. Times are the API server's, in RFC 3339."""

    job: DemoJob
    created: str | None = None
    pod_created: str | None = None
    states: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    """Every message that the status has shown, in order."""
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> State | None:
        """The last observed state."""
        return State(self.states[-1]) if self.states else None

    @property
    def over(self) -> bool:
        """Whether it reached a final state."""
        return self.state is not None and self.state.final

    @property
    def milestone(self) -> tuple[object, ...]:
        """Changes when there is news worth a log line: a state, a reason, another fifth of the iterations."""
        return (self.state, self.status.get("reason"), self.status.get("progress", {}).get("percentage", 0) // 20)

    @property
    def iteration(self) -> int:
        """Iterations done, from the status."""
        return int(self.status.get("progress", {}).get("iteration", 0))

    @property
    def scores(self) -> dict[tuple[str, str], float]:
        """(head, score) -> value in the last evaluation."""
        metrics = self.status.get("progress", {}).get("metrics", [])
        return {(metric["head"], metric["name"]): metric["value"] for metric in metrics}


class Observer:
    """Observes the jobs' objects; the demo calls `look` repeatedly."""

    def __init__(self, api: BlockingClient, jobs: list[DemoJob]) -> None:
        self._api = api
        self.observed = {job.name: Observed(job) for job in jobs}
        self.most_live_pods: dict[str, int] = {job.project: 0 for job in jobs}
        """For each project, the largest number of trainer pods observed alive at once."""

    def look(self) -> None:
        """Adds one LIST of jobs and one of pods to the observations."""
        for entry in self._api.request("GET", JOBS)["items"]:
            self._see_job(self.observed[entry["metadata"]["name"]], entry)
        trainers = {"labelSelector": f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"}
        pods: list[dict[str, Any]] = self._api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods", query=trainers)["items"]
        for project in self.most_live_pods:
            live = sum(_live(pod) for pod in pods if pod["metadata"]["labels"][names.LABEL_PROJECT] == project)
            self.most_live_pods[project] = max(self.most_live_pods[project], live)
        for pod in pods:
            observed = self.observed[pod["metadata"]["labels"][names.LABEL_JOB]]
            created = pod["metadata"]["creationTimestamp"]
            observed.pod_created = min(observed.pod_created or created, created)

    def stop(self, name: str) -> None:
        """What `kubectl patch tj NAME --type merge -p '{"spec":{"stop":true}}'` does."""
        self._api.request("PATCH", f"{JOBS}/{name}", {"spec": {"stop": True}}, MERGE_PATCH)

    def _see_job(self, observed: Observed, entry: dict[str, Any]) -> None:
        observed.created = entry["metadata"]["creationTimestamp"]
        observed.status = entry.get("status", {})
        state = observed.status.get("state")
        if state and (not observed.states or observed.states[-1] != state):
            observed.states.append(state)
        message = observed.status.get("message")
        if message and (not observed.messages or observed.messages[-1] != message):
            observed.messages.append(message)


def _live(pod: dict[str, Any]) -> bool:
    """Whether the pod may be running something: it has not ended, and is past the gate that holds it until its turn."""
    return pod["status"].get("phase") not in {"Succeeded", "Failed"} and not pod["spec"].get("schedulingGates")
