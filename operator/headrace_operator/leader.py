"""One Lease shared by all replicas of a release: its holder acts, the others watch and wait.

A leader that loses the Lease stops between two requests. Requests that a deposed leader still has in flight are fenced by
resourceVersions (slot.py), so this Lease only avoids duplicate work; safety does not depend on it. Clocks of different machines are
never compared: each replica measures, on its own monotonic clock, how long the Lease has not changed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from headrace_api import names
from headrace_operator.api import Api, ApiError, ConflictError, ForbiddenError, Json, NotFoundError
from headrace_operator.clock import Clock, micro_timestamp
from headrace_operator.settings import Settings
from headrace_operator.state import Raw

logger = logging.getLogger(__name__)

RENEWALS = 5
"""Renewal attempts per duration of the Lease: four in a row may fail."""


class Leader:
    """Takes, renews and releases the Lease; reports through callbacks."""

    def __init__(
        self,
        *,
        api: Api,
        settings: Settings,
        clock: Clock,
        identity: str,
        on_elected: Callable[[], Awaitable[None]],
        on_deposed: Callable[[], Awaitable[None]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.api = api
        self.settings = settings
        self.clock = clock
        self.identity = identity
        self.on_elected = on_elected
        self.on_deposed = on_deposed
        self.monotonic = monotonic
        self.leading = False
        self._seen: tuple[str, float] | None = None
        """The Lease's resourceVersion, and when it was first seen."""
        self._renewed = 0.0
        self._lease: Raw | None = None

    async def run(self) -> None:
        """Competes until cancelled."""
        pause = self.settings.leader_lease / RENEWALS
        while True:
            await self.step()
            await asyncio.sleep(pause)

    async def step(self) -> None:
        """One attempt to take or renew."""
        try:
            held = await self._take_or_renew()
        except ForbiddenError as error:
            logger.error("cannot lead: %s", error)
            held = False
        except ApiError as error:
            # No answer: still ours until the duration has passed, because no other replica takes it before that.
            logger.warning("leader Lease: %s", error)
            held = self.leading and self.monotonic() - self._renewed < self.settings.leader_lease * (RENEWALS - 1) / RENEWALS
        if held and not self.leading:
            self.leading = True
            logger.info("leading as %s", self.identity)
            await self.on_elected()
        elif not held and self.leading:
            self.leading = False
            logger.warning("no longer leading")
            await self.on_deposed()

    async def release(self) -> None:
        """Releases the Lease, so that another replica need not wait for it to expire."""
        if not self.leading or self._lease is None:
            return
        self.leading = False
        try:
            await self.api.replace_lease(self._manifest(self._lease, holder="", duration=1))
        except ApiError as error:
            logger.warning("leader Lease could not be released: %s", error)

    async def _take_or_renew(self) -> bool:
        # A holder renews what it last wrote, without reading: a conflict means that someone else took the Lease.
        asked = self.monotonic()
        lease = self._lease if self.leading else await self._get()
        if lease is not None and not self.leading and not self._free(lease):
            return False
        manifest = self._manifest(lease, self.identity, self.settings.leader_lease)
        try:
            written = await (self.api.create_lease(manifest) if lease is None else self.api.replace_lease(manifest))
        except (ConflictError, NotFoundError):
            # Either someone else took it, or our last write succeeded but its answer was lost: check.
            self._lease = lease = await self._get()
            return self.leading and lease is not None and lease["spec"].get("holderIdentity") == self.identity
        self._lease = written
        self._renewed = asked
        return True

    async def _get(self) -> Raw | None:
        try:
            return await self.api.get_lease(self.settings.namespace, self.settings.leader_lease_name)
        except NotFoundError:
            return None

    def _free(self, lease: Raw) -> bool:
        """Whether the Lease is free: released, already ours, or unchanged for its whole duration."""
        holder = lease["spec"].get("holderIdentity") or ""
        if holder in ("", self.identity):
            return True
        version, now = lease["metadata"]["resourceVersion"], self.monotonic()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] >= float(lease["spec"].get("leaseDurationSeconds") or 1)

    def _manifest(self, lease: Raw | None, holder: str, duration: float) -> Json:
        now = micro_timestamp(self.clock.now())
        metadata: Json = {
            "name": self.settings.leader_lease_name,
            "namespace": self.settings.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        }
        spec: Json = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(duration)),
            "acquireTime": now,
            "renewTime": now,
        }
        if lease is not None:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
            same = lease["spec"].get("holderIdentity") == holder
            spec["acquireTime"] = lease["spec"].get("acquireTime", now) if same else now
            spec["leaseTransitions"] = int(lease["spec"].get("leaseTransitions") or 0) + int(not same)
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
