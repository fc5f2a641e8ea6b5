"""Records what the API server reports about a namespace's jobs and pods, in order, with times; tests wait for it and check it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from kubernetes import client, watch
from urllib3.exceptions import HTTPError

from headrace_api import names
from headrace_api.names import State

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Event:
    """A watch event and when it arrived (seconds of `time.monotonic`)."""

    at: float
    kind: str
    type: str
    obj: Json

    @property
    def name(self) -> str:
        name: str = self.obj["metadata"]["name"]
        return name


class History:
    """Two watches, each in its own thread; leaving the `with` block ends them."""

    def __init__(self, connect: Callable[[], client.ApiClient], namespace: str) -> None:
        self.namespace = namespace
        self.events: list[Event] = []
        self._latest: dict[tuple[str, str], Json] = {}
        self._news = threading.Condition()
        self._ending = False
        self._connect = connect

    def __enter__(self) -> "History":
        for kind in ("job", "pod"):
            threading.Thread(target=self._watch, args=(kind,), daemon=True, name=f"watch-{kind}s").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True  # the threads are daemons: each waits for an event that may never come

    def wait(self, ready: Callable[[], T | None], what: str, timeout: float) -> T:
        """Calls `ready` after every event until it returns something truthy, and returns that.

        Raises:
            TimeoutError: it did not do so within `timeout` seconds; the text shows the jobs and pods.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while not (result := ready()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"gave up after {timeout:g} s waiting for: {what}\n{self.summary()}")
                self._news.wait(min(left, 1))
            return result

    def job(self, name: str) -> Json | None:
        """The TrainingJob as it is now."""
        return self._latest.get(("job", name))

    def status(self, name: str) -> Json:
        """The job's status; empty before it has one."""
        status: Json = (self.job(name) or {}).get("status", {})
        return status

    def pod(self, name: str) -> Json | None:
        return self._latest.get(("pod", name))

    def of(self, kind: str, name: str) -> list[Event]:
        """All events about one object."""
        return [event for event in list(self.events) if event.kind == kind and event.name == name]

    def states(self, job: str) -> list[tuple[State, float]]:
        """Each state the job went through, and when it was reported."""
        found: list[tuple[State, float]] = []
        for event in self.of("job", job):
            state = event.obj.get("status", {}).get("state")
            if state and (not found or found[-1][0] != state):
                found.append((State(state), event.at))
        return found

    def iterations(self, job: str) -> list[int]:
        """Every iteration count that the status showed, in order."""
        progress = [event.obj.get("status", {}).get("progress", {}) for event in self.of("job", job)]
        return [one["iteration"] for one in progress if "iteration" in one]

    def pod_names(self, job: str) -> list[str]:
        """The pods that a job has had."""
        mine = (e.name for e in list(self.events) if e.kind == "pod" and label(e.obj, names.LABEL_JOB) == job)
        return list(dict.fromkeys(mine))

    def live_pods(self) -> Iterator[dict[str, list[str]]]:
        """After each event, yields the pods that may be running something, by project."""
        pods: dict[str, Json] = {}
        for event in [event for event in list(self.events) if event.kind == "pod"]:
            if event.type == "DELETED":
                pods.pop(event.name, None)
            else:
                pods[event.name] = event.obj
            live: dict[str, list[str]] = {}
            for name, pod in pods.items():
                project = label(pod, names.LABEL_PROJECT)
                if project and may_run(pod):
                    live.setdefault(project, []).append(name)
            yield live

    def summary(self) -> str:
        """One line per object, for error messages."""
        lines = []
        for (kind, name), obj in sorted(self._latest.items()):
            status = obj.get("status", {})
            about = [status.get(key) for key in ("state", "phase", "reason", "message")]
            lines.append(f"  {kind} {name}: {' '.join(str(word) for word in about if word)} {status.get('progress', '')}")
        return "\n".join(lines)

    def _watch(self, kind: str) -> None:
        while not self._ending:
            # The client resumes by itself when the server ends a watch; if it cannot, the server sends everything again.
            with suppress(client.ApiException, HTTPError), self._connect() as api:
                for told in self._stream(api, kind):
                    self._take(kind, told["type"], told["raw_object"])

    def _stream(self, api: client.ApiClient, kind: str) -> Iterator[Json]:
        if kind == "pod":
            words: tuple[Any, ...] = (client.CoreV1Api(api).list_namespaced_pod, self.namespace)
        else:
            jobs = client.CustomObjectsApi(api).list_namespaced_custom_object
            words = (jobs, names.GROUP, names.VERSION, self.namespace, names.PLURAL)
        stream: Iterator[Json] = watch.Watch().stream(*words)
        return stream

    def _take(self, kind: str, type: str, obj: Json) -> None:
        known = self._latest.get((kind, obj["metadata"]["name"]))
        if known and known["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"] and type != "DELETED":
            return  # a new watch sends it again
        with self._news:
            self.events.append(Event(time.monotonic(), kind, type, obj))
            if type == "DELETED":
                self._latest.pop((kind, obj["metadata"]["name"]), None)
            else:
                self._latest[kind, obj["metadata"]["name"]] = obj
            self._news.notify_all()


def label(obj: Json, name: str) -> str | None:
    """The value of an object's label, or None."""
    found: str | None = obj["metadata"].get("labels", {}).get(name)
    return found


def may_run(pod: Json) -> bool:
    """Whether the pod is past the scheduling gate and not over. The API server reports a container's end before its pod's."""
    over = pod["status"].get("phase") in {"Succeeded", "Failed"} or terminated(pod)
    return not over and not pod["spec"].get("schedulingGates")


def terminated(pod: Json) -> Json | None:
    """How the pod's container ended; None if it has not."""
    statuses = pod["status"].get("containerStatuses", [])
    ended: Json | None = statuses[0]["state"].get("terminated") if statuses else None
    return ended
