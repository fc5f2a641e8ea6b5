"""The state from the watches, by project; newer resourceVersions win, and a LIST replaces it from time to time.

Watch events of one object can be late (after the answer to the operator's own write) and, after a reconnect, can concern objects
that are long gone. So the resourceVersion of the last LIST is kept for each kind and project: an object that the LIST did not show
and whose event is not newer than the LIST is ignored. Resource versions of one kind can be compared as numbers (officially since
Kubernetes 1.35; etcd's revisions always could).
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from headrace_operator.api import Listing
from headrace_operator.state import Job, JobReader, Node, Pod, ProjectKey, Raw, Report, View, pod_from

logger = logging.getLogger(__name__)

TOMBSTONES = 10_000
"""How many deleted objects, and LISTs of projects without objects, are remembered, so that late events do not revive them."""

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
        """Whether an object is still of use after it is gone."""
        self.objects: defaultdict[ProjectKey, dict[str, T]] = defaultdict(dict)
        self.remains: set[str] = set()
        """Uids of objects that are gone but still kept."""
        self.listed: dict[ProjectKey, int] = {}
        self.gone: OrderedDict[str, None] = OrderedDict()

    def put(self, raw: Raw) -> ProjectKey | None:
        """Adds or updates an object. Returns its project, or None if nothing changed."""
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
        """Records a deletion, given the object's last state. Returns its project, or None if nothing changed."""
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
        """Forgets an object for good: uids are never reused."""
        self.objects[key].pop(uid, None)
        self.remains.discard(uid)
        self.on_forget(uid)
        self.gone[uid] = None
        while len(self.gone) > TOMBSTONES:
            self.gone.popitem(last=False)

    def replace(self, key: ProjectKey, listing: Listing) -> None:
        """Applies a LIST of one project."""
        self._replace(key, [self.read(raw) for raw in listing.items], listing.resource_version)
        self.listed[key] = max(self.listed.get(key, 0), listing.resource_version)

    def replace_all(self, listing: Listing, within: Callable[[ProjectKey], bool]) -> None:
        """Applies a LIST of all projects for which `within` holds."""
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
        """Forgets projects without objects, and their oldest LISTs."""
        for key in [key for key, things in self.objects.items() if not things]:
            del self.objects[key]
        idle = [key for key in self.listed if key not in self.objects]
        for key in idle[: max(0, len(idle) - TOMBSTONES)]:
            del self.listed[key]


def _log_misread(job: Job) -> Job:
    """Logs the fields of the job that cannot be read, and returns the job."""
    if job.misread:
        fields = ", ".join(f"status.{name}" for name in job.misread)
        logger.error("%s/%s: %s: cannot be read; written by another version of Headrace?", job.namespace, job.name, fields)
    return job


class Cache:
    """Jobs and pods from the watches, nodes from GETs, reports from running trainers."""

    def __init__(self) -> None:
        reader = JobReader()
        self.jobs: Kind[Job] = Kind(lambda raw: _log_misread(reader(raw)), reader.forget)
        # A pod's exit status comes at most a second before its deletion, so keep it even if no pass happens in between.
        self.pods: Kind[Pod] = Kind(pod_from, outlives=lambda pod: pod.over)
        self.nodes: dict[str, Node] = {}
        """The node of each pod that we looked up, by the pod's uid."""
        self.reports: dict[str, Report] = {}

    def projects(self) -> set[ProjectKey]:
        """Every project that has a known object."""
        return {key for kind in (self.jobs.objects, self.pods.objects) for key, things in kind.items() if things}

    def view(self, key: ProjectKey) -> View:
        """The current view of the project."""
        jobs = tuple(sorted(self.jobs.objects[key].values(), key=lambda job: job.order))
        self._bury_counted(key)
        pods = tuple(self.pods.objects[key].values())
        nodes = {pod.uid: self.nodes[pod.uid] for pod in pods if pod.uid in self.nodes}
        reports = {pod.uid: self.reports[pod.uid] for pod in pods if pod.uid in self.reports}
        return View(key, jobs, pods, nodes, reports)

    def _bury_counted(self, key: ProjectKey) -> None:
        """Forgets pods that are gone once their end is no longer needed."""
        for pod in [pod for pod in self.pods.objects[key].values() if pod.uid in self.pods.remains]:
            job = self.jobs.objects[key].get(pod.owner_uid)
            counted = job.status.last_attempt.number if job and job.status.last_attempt else 0
            if job is None or job.over or pod.attempt <= counted:
                self.pods.forget(key, pod.uid)

    def live_pods(self) -> list[Pod]:
        """Pods in all projects that may be running."""
        return [pod for pods in self.pods.objects.values() for pod in pods.values() if not pod.gated and not pod.over]

    def tidy(self) -> None:
        """Forgets reports and nodes of pods that are gone, and projects without objects."""
        uids = {uid for pods in self.pods.objects.values() for uid in pods}
        self.reports = {uid: report for uid, report in self.reports.items() if uid in uids}
        self.nodes = {uid: node for uid, node in self.nodes.items() if uid in uids}
        self.jobs.tidy()
        self.pods.tidy()
