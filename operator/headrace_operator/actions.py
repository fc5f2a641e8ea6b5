"""Carries out decisions; every action is idempotent. A conflict means "look again", never "force"."""

import logging
from collections.abc import Callable, Container
from datetime import datetime, timedelta

from headrace_api.trainingjob import TrainingJobStatus
from headrace_operator.api import AlreadyExistsError, Api, ForbiddenError, InvalidError, Json, NotFoundError, RefusedError
from headrace_operator.cache import Cache
from headrace_operator.clock import Clock
from headrace_operator.decision import DeleteJob, DeletePod, LookAtNode, StartAttempt, WriteStatus
from headrace_operator.metrics import Metrics
from headrace_operator.patches import merge_patch
from headrace_operator.pods import pod_for
from headrace_operator.policies.failed_start import NameTaken, Obstacle, Refused, RefusedForGood, SlotLost
from headrace_operator.settings import Settings
from headrace_operator.slot import Hold, Slots
from headrace_operator.state import Job, Pod, ProjectKey, node_from, pod_from
from headrace_operator.transitions import event_for

logger = logging.getLogger(__name__)

Emit = Callable[[Json], None]


class Actions:
    """Actions on the API, which also update the cache."""

    def __init__(
        self, *, api: Api, cache: Cache, slots: Slots, settings: Settings, clock: Clock, metrics: Metrics, emit: Emit, identity: str
    ) -> None:
        self.api = api
        self.cache = cache
        self.slots = slots
        self.settings = settings
        self.clock = clock
        self.metrics = metrics
        self.emit = emit
        self.identity = identity
        self.freed: dict[ProjectKey, datetime] = {}
        """When each project's last attempt was seen to be over."""
        self.ration = Ration(settings.waiting_messages_per_second)

    def spend_renewal(self) -> bool:
        """Uses one of the rationed status writes that only renew which jobs a job is behind. Returns whether one was left."""
        return self.ration.take(self.clock.now())

    async def write_status(self, action: WriteStatus) -> None:
        """Writes what changed, provided that the job itself has not; emits the Event after the write."""
        job, status = action.job, action.status
        old = dict(job.raw.get("status") or {})
        new = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        patch = {
            "metadata": {"uid": job.uid, "resourceVersion": str(job.resource_version)},
            "status": merge_patch(old, new),
        }
        self.cache.jobs.put(await self.api.patch_job_status(job.namespace, job.name, patch))
        if status.last_attempt != job.status.last_attempt:
            self.freed[job.key] = self.clock.now()
        self.metrics.count_ends(job.status, status)
        self._tell(job, status)

    def _tell(self, job: Job, status: TrainingJobStatus) -> None:
        if status.state != job.status.state:
            logger.info("%s/%s: %s (%s) %s", job.namespace, job.name, status.state, status.reason, status.message)
        event = event_for(job, status, self.identity, self.clock.now())
        if event is not None:
            self.emit(event)

    async def delete_pod(self, action: DeletePod) -> None:
        """Deletes a pod with its grace period. A gated one must still be gated: it may just have been released.

        Raises:
            NotFoundError: it is gone. The cache keeps it, because the watch may be about to report how it ended.
        """
        pod = action.pod
        logger.info("%s/%s: deleting the pod: %s", pod.namespace, pod.name, action.why)
        version = pod.resource_version if pod.gated else None
        answer = await self.api.delete_pod(pod.namespace, pod.name, pod.uid, version)
        metadata = answer.get("metadata", {})
        if metadata.get("uid") == pod.uid and metadata.get("deletionGracePeriodSeconds"):
            self.cache.pods.put(answer)  # it ends later; the watch reports when

    async def delete_job(self, action: DeleteJob) -> None:
        """Deletes a job whose ttlSecondsAfterFinished has passed."""
        job = action.job
        logger.info("%s/%s: deleted: ttlSecondsAfterFinished has passed", job.namespace, job.name)
        try:
            await self.api.delete_job(job.namespace, job.name, job.uid, job.resource_version)
        except NotFoundError:
            self.cache.jobs.forget(job.key, job.uid)

    async def look_at_node(self, action: LookAtNode) -> None:
        """Finds out whether a pod's node still exists."""
        name = action.pod.node
        try:
            raw = await self.api.get_node(name)
        except NotFoundError:
            raw = None
        self.cache.nodes[action.pod.uid] = node_from(name, raw, self.clock.now())

    async def make_pod(self, start: StartAttempt, hold: Hold) -> Obstacle | None:
        """Steps 4 and 5 of the slot: creates the gated pod and releases it. Returns the obstacle, or None if it may now run."""
        job = start.job
        if job.spec is None:  # decide never starts such a job
            return None
        try:
            made = await self.api.create_pod(pod_for(job, job.spec, start.attempt, self.settings))
        except AlreadyExistsError:
            return NameTaken(await self._pod_of_that_name(start))
        except (ForbiddenError, RefusedError) as error:
            return Refused(str(error))
        except InvalidError as error:
            return RefusedForGood(str(error))
        pod = pod_from(made)
        self.cache.pods.put(made)
        if not await self.slots.still_held(hold):
            return SlotLost(pod)
        self.cache.pods.put(await self.api.ungate_pod(pod.namespace, pod.name, pod.uid, pod.resource_version))
        self._measure_start(job)
        return None

    async def _pod_of_that_name(self, start: StartAttempt) -> Pod | None:
        """The existing pod with the name of this attempt's pod; None if it is gone."""
        try:
            return pod_from(await self.api.get_pod(start.job.namespace, f"{start.job.name}-{start.attempt}"))
        except NotFoundError:
            return None

    def tidy(self, projects: Container[ProjectKey]) -> None:
        """Forgets projects that no longer exist."""
        self.freed = {key: when for key, when in self.freed.items() if key in projects}

    def _measure_start(self, job: Job) -> None:
        now = self.clock.now()
        if job.status.attempts == 0:
            self.metrics.queue_wait.observe((now - job.created).total_seconds())
        before = self.freed.pop(job.key, None)
        if before is not None:
            self.metrics.start_latency.observe((now - before).total_seconds())


class Ration:
    """A token bucket: `per_second` tokens a second, saved up for at most five seconds."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.left = 5 * per_second
        self.filled: datetime | None = None

    def take(self, now: datetime) -> bool:
        """Takes a token; returns whether there was one."""
        elapsed = now - self.filled if self.filled is not None else timedelta(0)
        self.filled = now
        self.left = min(5 * self.per_second, self.left + max(0.0, elapsed.total_seconds()) * self.per_second)
        if self.left < 1:
            return False
        self.left -= 1
        return True
