"""One pass over one project: observe, decide, act."""

import logging
from datetime import datetime
from typing import NamedTuple

from headrace_operator.actions import Actions
from headrace_operator.api import Api, ConflictError, ForbiddenError, InvalidError, NotFoundError, RefusedError
from headrace_operator.cache import Cache
from headrace_operator.clock import Clock
from headrace_operator.decide import decide
from headrace_operator.decision import Decision, DeleteJob, DeletePod, LookAtNode, Needs, StartAttempt, WriteStatus, earliest
from headrace_operator.policies.failed_start import Obstacle, Refused, after_failed_start
from headrace_operator.settings import Settings
from headrace_operator.slot import Slots, SlotTakenError
from headrace_operator.state import ProjectKey, Raw, later

logger = logging.getLogger(__name__)

ROUNDS = 8
"""Maximum number of decisions in one pass; each but the last wrote something that the next one builds on."""
LOOK_AGAIN_SECONDS = 0.2
"""Pause after a conflict: the watch event that explains it is on its way."""
RENEW_WAITING_SECONDS = 5
"""Pause before retrying a waiting message after their ration was used up."""
SETTLE_SECONDS = 0.1
"""Pause after a start, in which the scheduler can bind the pod, so that one status write covers both."""


class Acted(NamedTuple):
    """The result of carrying out a decision."""

    wrote: bool
    """Whether something was written, so that there may be more to decide."""
    again: datetime | None
    """When to retry writes that the ration held back; None if there are none."""


class Reconciler:
    """Runs passes over projects: one per project at a time, different projects concurrently."""

    def __init__(self, *, api: Api, cache: Cache, slots: Slots, actions: Actions, settings: Settings, clock: Clock) -> None:
        self.api = api
        self.cache = cache
        self.slots = slots
        self.actions = actions
        self.settings = settings
        self.clock = clock
        self.doubtful: set[ProjectKey] = set()
        """Projects whose cache led to a conflict: their next pass starts with live LISTs."""

    async def reconcile(self, key: ProjectKey) -> datetime | None:
        """Brings a project up to date. Returns when to look again at the latest (None: only when something happens).

        Raises:
            ApiError: the pass could not be finished; it can be repeated at any time.
        """
        try:
            return await self._reconcile(key)
        except (ConflictError, NotFoundError, SlotTakenError) as error:
            # Someone was faster: the user, the garbage collector, another operator. Never force; the next pass looks again.
            logger.debug("%s: %s", key, error)
            self.doubtful.add(key)
            return later(self.clock.now(), LOOK_AGAIN_SECONDS)

    async def _reconcile(self, key: ProjectKey) -> datetime | None:
        if key in self.doubtful:
            self.doubtful.discard(key)
            await self._list(key, Needs(jobs=True, pods=True))
        told: set[str] = set()
        for _ in range(ROUNDS):
            # 1. Decide on the state from the watches; that costs no request.
            decision = self._decide(key)

            # 2. Decide again on live LISTs where a watch, which may lag behind, is not enough.
            #    For a start, note the slot's Lease first (slot.py, step 0).
            wanted, lease = decision.start(), None
            if wanted is not None:
                try:
                    lease = await self.slots.look(key)
                except (ForbiddenError, RefusedError) as error:
                    await self._act(decision, told)
                    return await self._give_up_start(wanted, Refused(str(error)))
            if any(decision.needs):
                await self._list(key, decision.needs)
                before, decision = decision, self._decide(key)
                if decision.needs != before.needs or (decision.start() and not before.start()):
                    continue  # the LISTs showed something that needs further live LISTs

            # 3. Act. Status writes come before the start that they make room for.
            acted = await self._act(decision, told)

            # 4. Start the next job, if the slot is free.
            start = decision.start()
            if start is not None:
                return await self._start(start, lease)
            if not acted.wrote:
                return earliest(decision.wake, acted.again)
        return self.clock.now()

    async def _act(self, decision: Decision, told: set[str]) -> Acted:
        """Carries out everything but a start.

        `told` are the uids of pods deleted in this pass; once is enough.
        """
        wrote, again = False, None
        for action in decision.actions:
            match action:
                case WriteStatus() if action.only_renews_waiting and not self.actions.spend_renewal():
                    again = earliest(again, later(self.clock.now(), RENEW_WAITING_SECONDS))
                case WriteStatus():
                    wrote |= await self._write(action)
                case DeletePod():
                    if action.pod.uid not in told:
                        told.add(action.pod.uid)
                        await self.actions.delete_pod(action)
                case DeleteJob():
                    await self.actions.delete_job(action)
                case LookAtNode():
                    await self.actions.look_at_node(action)
                    wrote = True
                case StartAttempt():
                    pass  # comes last, with its own steps
        return Acted(wrote, again)

    async def _write(self, action: WriteStatus) -> bool:
        """Writes a status. Returns whether the server accepted it: a rejected one affects only its job, and the pass continues."""
        try:
            await self.actions.write_status(action)
        except InvalidError as error:
            logger.error("%s/%s: its status cannot be written: %s", action.job.namespace, action.job.name, error)
            return False
        return True

    async def _start(self, start: StartAttempt, lease: Raw | None) -> datetime | None:
        """Takes the slot and creates the pod (slot.py, steps 2 to 5). Returns when to look again."""
        key = start.job.key
        try:
            hold = await self.slots.take(start.job, lease)
        except (ForbiddenError, RefusedError) as error:
            return await self._give_up_start(start, Refused(str(error)))
        await self._list(key, Needs(pods=True))
        again = self._decide(key).start()
        if again is None or (again.job.uid, again.attempt) != (start.job.uid, start.attempt):
            return self.clock.now()  # the LIST shows a pod that still exists, or that this attempt already started
        obstacle = await self.actions.make_pod(again, hold)
        if obstacle is not None:
            return await self._give_up_start(again, obstacle)
        return later(self.clock.now(), SETTLE_SECONDS)

    async def _give_up_start(self, start: StartAttempt, obstacle: Obstacle) -> datetime | None:
        """Handles a start that met an obstacle. Returns when to look again.

        A status that the server rejects ends the pass here, so that the queue's backoff delays the next start.
        """
        if isinstance(obstacle, Refused):
            logger.error("%s/%s: the start was refused: %s", start.job.namespace, start.job.name, obstacle.error)
        decision = after_failed_start(start, obstacle, self.clock.now())
        for action in decision.actions:
            match action:
                case WriteStatus():
                    await self.actions.write_status(action)
                case DeletePod():
                    await self.actions.delete_pod(action)
        return decision.wake

    def _decide(self, key: ProjectKey) -> Decision:
        return decide(self.cache.view(key), self.settings, self.clock.now())

    async def _list(self, key: ProjectKey, what: Needs) -> None:
        """Replaces the state from the watches by live LISTs. Jobs first: an attempt named in a status was created before that."""
        if what.jobs:
            self.cache.jobs.replace(key, await self.api.list_jobs(key))
        if what.pods:
            self.cache.pods.replace(key, await self.api.list_pods(key))
