"""What the watches said, by project; newer resourceVersions win, and a LIST replaces it now and then.

Watch events of one object can be late (the operator's own write came back first) and, after a reconnect, can speak of
objects that are long gone. So each kind of each project remembers the resourceVersion of its last LIST: an object that
the LIST did not show and whose event is not newer than it is a ghost. Resource versions of one kind can be compared as
numbers (Kubernetes 1.35 says so officially; etcd's revisions always were).
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from headrace_operator.api import Listing
from headrace_operator.state import Job, JobReader, Node, Pod, ProjectKey, Raw, Report, View, pod_from

logger = logging.getLogger(__name__)

TOMBSTONES = 10_000
"""How many deleted objects, and LISTs of projects without any, are remembered, so that a late event does not raise the dead."""

T = TypeVar("T", bound=Job | Pod)


class Kind(Generic[T]):
    """The objects of one kind."""

    def __init__(
        self,
        read: Callable[[Raw], T],
        on_forget: Callable[[str], None] = lambda _uid: None,
        outlives: Callable[[T], bool] = lambda _thing: False,
    ) -> None:
        self.read = read
        self.on_forget = on_forget
        self.outlives = outlives
        """Whether what is known of an object is still of use when it is gone."""
        self.objects: defaultdict[ProjectKey, dict[str, T]] = defaultdict(dict)
        self.remains: set[str] = set()
        """Uids of objects that are gone and outlived it."""
        self.listed: dict[ProjectKey, int] = {}
        self.gone: OrderedDict[str, None] = OrderedDict()

    def put(self, raw: Raw) -> ProjectKey | None:
        """Takes in an object. Returns its project, or None when this is no news."""
        thing = self.read(raw)
        known = self.objects[thing.key].get(thing.uid)
        if known is not None and known.resource_version >= thing.resource_version:
            return None
        if thing.uid in self.gone or (known is None and thing.resource_version <= self.listed.get(thing.key, 0)):
            self.on_forget(thing.uid)
            return None
        self.objects[thing.key][thing.uid] = thing
        return thing.key

    def remove(self, raw: Raw) -> ProjectKey | None:
        """Takes in a deletion, whose object is the last there was. Returns its project, or None when this is no news."""
        thing = self.read(raw)
        if thing.uid in self.gone:
            self.on_forget(thing.uid)
            return None
        if self.outlives(thing):
            self.objects[thing.key][thing.uid] = thing
            self.remains.add(thing.uid)
        else:
            self.forget(thing.key, thing.uid)
        return thing.key

    def forget(self, key: ProjectKey, uid: str) -> None:
        """The object is gone for good: uids are never used twice."""
        self.objects[key].pop(uid, None)
        self.remains.discard(uid)
        self.on_forget(uid)
        self.gone[uid] = None
        while len(self.gone) > TOMBSTONES:
            self.gone.popitem(last=False)

    def replace(self, key: ProjectKey, listing: Listing) -> None:
        """Takes in a LIST of one project."""
        self._replace(key, [self.read(raw) for raw in listing.items], listing.resource_version)
        self.listed[key] = max(self.listed.get(key, 0), listing.resource_version)

    def replace_all(self, listing: Listing, within: Callable[[ProjectKey], bool]) -> None:
        """Takes in a LIST of all projects for which `within` holds."""
        by_project: defaultdict[ProjectKey, list[T]] = defaultdict(list)
        for raw in listing.items:
            thing = self.read(raw)
            by_project[thing.key].append(thing)
        for key in {key for key in self.objects if within(key)} | set(by_project):
            self._replace(key, by_project[key], listing.resource_version)
            self.listed[key] = max(self.listed.get(key, 0), listing.resource_version)

    def _replace(self, key: ProjectKey, things: Iterable[T], version: int) -> None:
        known = self.objects[key]
        listed = {thing.uid: thing for thing in things}
        for uid, thing in list(known.items()):
            if uid in listed or thing.resource_version > version:
                continue
            if self.outlives(thing):
                self.remains.add(uid)
            else:
                del known[uid]
                self.on_forget(uid)
        for uid, thing in listed.items():
            if uid in self.gone:
                self.on_forget(uid)
            elif uid not in known or known[uid].resource_version < thing.resource_version:
                known[uid] = thing

    def tidy(self) -> None:
        """Forgets projects of which nothing is left, and of those the LISTs of long ago."""
        for key in [key for key, things in self.objects.items() if not things]:
            del self.objects[key]
        idle = [key for key in self.listed if key not in self.objects]
        for key in idle[: max(0, len(idle) - TOMBSTONES)]:
            del self.listed[key]


def _log_misread(job: Job) -> Job:
    """Logs what cannot be read of the job, and returns it as it is."""
    if job.misread:
        fields = ", ".join(f"status.{name}" for name in job.misread)
        logger.error("%s/%s: %s: cannot be read; written by another version of Headrace?", job.namespace, job.name, fields)
    return job


class Cache:
    """Jobs and pods from the watches, nodes from looks at them, reports from running trainers."""

    def __init__(self) -> None:
        reader = JobReader()
        self.jobs: Kind[Job] = Kind(lambda raw: _log_misread(reader(raw)), reader.forget)
        # A pod's exit status comes at most a second before its deletion: it must not be lost when no pass fits in between.
        self.pods: Kind[Pod] = Kind(pod_from, outlives=lambda pod: pod.over)
        self.nodes: dict[str, Node] = {}
        """By uid of the pod for whose sake they were looked at."""
        self.reports: dict[str, Report] = {}

    def projects(self) -> set[ProjectKey]:
        """Every project of which something is known."""
        return {key for kind in (self.jobs.objects, self.pods.objects) for key, things in kind.items() if things}

    def view(self, key: ProjectKey) -> View:
        """The project as it is known now."""
        jobs = tuple(sorted(self.jobs.objects[key].values(), key=lambda job: job.order))
        self._bury_counted(key)
        pods = tuple(self.pods.objects[key].values())
        nodes = {pod.uid: self.nodes[pod.uid] for pod in pods if pod.uid in self.nodes}
        reports = {pod.uid: self.reports[pod.uid] for pod in pods if pod.uid in self.reports}
        return View(key, jobs, pods, nodes, reports)

    def _bury_counted(self, key: ProjectKey) -> None:
        """Forgets pods that are gone once nobody needs to know how they ended."""
        for pod in [pod for pod in self.pods.objects[key].values() if pod.uid in self.pods.remains]:
            job = self.jobs.objects[key].get(pod.owner_uid)
            counted = job.status.last_attempt.number if job and job.status.last_attempt else 0
            if job is None or job.over or pod.attempt <= counted:
                self.pods.forget(key, pod.uid)

    def live_pods(self) -> list[Pod]:
        """Pods of all projects that may be running."""
        return [pod for pods in self.pods.objects.values() for pod in pods.values() if not pod.gated and not pod.over]

    def tidy(self) -> None:
        """Forgets reports and nodes of pods that are gone, and projects of which nothing is left."""
        uids = {uid for pods in self.pods.objects.values() for uid in pods}
        self.reports = {uid: report for uid, report in self.reports.items() if uid in uids}
        self.nodes = {uid: node for uid, node in self.nodes.items() if uid in uids}
        self.jobs.tidy()
        self.pods.tidy()
