"""The slot of a project: at most one trainer of a project runs, whatever happens to operators (invariant 1).

A start takes these steps, in this order:

  0. know the resourceVersion of the project's Lease (from memory, else GET)
  1. LIST the project's jobs, live; decide whose turn it is
  2. write the Lease, holder = the job's uid, on the precondition that it is still at the version of step 0
  3. LIST the project's pods, live; go on only if no pod but terminated ones is there. Foreign gated pods are deleted, on
     the precondition of uid and resourceVersion, and the start is tried again later
  4. create the pod with a scheduling gate: it exists, but no scheduler may bind it
  5. GET the Lease: only if it is still at the version that step 2 wrote, remove the gate, on the precondition that the
     pod is the one created, unchanged; else delete the pod again

Why two pods of a project are never both let go. Let E and L be two starts, of any operators, of which E wrote the Lease
earlier (writes are ordered by resourceVersion). Say E removes its gate. Then in E's step 5 the Lease was still E's, so L's
write came after E's step 5, hence after E's pod was created (4); and L's LIST (3) came after L's write. So L's LIST shows
E's pod, unless it is gone. If it shows it without its gate and not terminated, L does not go on. If it shows it with its
gate, L deletes it before going on: either the deletion wins, and E's removal of the gate finds no such pod; or E's removal
wins, the deletion's precondition fails, and L does not go on. If the pod is gone, it can never run again: uids are not
reused.

It follows that a pod of which a start lost sight (its operator died between two calls, or an answer was lost) is either
gated, and deleted by whoever looks next, or was let go rightfully. A job's next attempt writes the Lease again, so an attempt that
was decided before it can no longer begin. Step 1 comes after 0, so that a job seen as next is still next if step 2 succeeds:
whoever started another meanwhile wrote the Lease.

API calls of a job: three reads (1, 3, 5) and three writes (2, 4, 5), and its status and events.
"""

from dataclasses import dataclass

from headrace_api import names
from headrace_operator.api import Api, ConflictError, Json, NotFoundError
from headrace_operator.clock import Clock, micro_timestamp
from headrace_operator.pods import owner_reference
from headrace_operator.state import Job, ProjectKey, Raw

KEPT_LEASES = 20_000
"""How many Leases are remembered between starts; a forgotten one costs one GET."""


class SlotTakenError(Exception):
    """Another start wrote the Lease: look again."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The Lease as this start wrote it."""

    key: ProjectKey
    resource_version: str


def lease_name(key: ProjectKey) -> str:
    """Of a project's Lease, in the namespace of its jobs."""
    return f"headrace-{key.project}"


class Slots:
    """The Leases of all projects, with what is remembered of them."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self.api = api
        self.clock = clock
        self.known: dict[ProjectKey, Raw | None] = {}

    async def look(self, key: ProjectKey) -> Raw | None:
        """Step 0: the Lease as last seen; None when there is none yet."""
        return self.known[key] if key in self.known else await self._get(key)

    async def take(self, job: Job, old: Raw | None) -> Hold:
        """Step 2. `old` is what step 0 saw.

        Raises:
            SlotTakenError: the Lease is not as it was then.
        """
        key = job.key
        self.known.pop(key, None)  # until the answer is here, nothing is known
        try:
            new = await (
                self.api.create_lease(self._lease(job, None)) if old is None else self.api.replace_lease(self._lease(job, old))
            )
        except (ConflictError, NotFoundError) as error:
            raise SlotTakenError(f"Lease {lease_name(key)} of project {key} was written by another start") from error
        self._remember(key, new)
        return Hold(key, new["metadata"]["resourceVersion"])

    async def still_held(self, hold: Hold) -> bool:
        """Step 5, its first half."""
        lease = await self._get(hold.key)
        return lease is not None and lease["metadata"]["resourceVersion"] == hold.resource_version

    async def _get(self, key: ProjectKey) -> Raw | None:
        try:
            lease = await self.api.get_lease(key.namespace, lease_name(key))
        except NotFoundError:
            lease = None
        self._remember(key, lease)
        return lease

    def _remember(self, key: ProjectKey, lease: Raw | None) -> None:
        self.known.pop(key, None)
        while len(self.known) >= KEPT_LEASES:
            del self.known[next(iter(self.known))]  # the one written longest ago
        self.known[key] = lease

    def _lease(self, job: Job, old: Raw | None) -> Json:
        """The Lease held by a job. It is owned by the job it was made for, and goes with that one; the next start makes it anew.

        Its owner never changes: where OwnerReferencesPermissionEnforcement is on, that would take the permission to delete Leases.

        leaseTransitions grows with every write: one that changed nothing would leave the resourceVersion as it was.
        """
        now = micro_timestamp(self.clock.now())
        metadata: Json = {
            "name": lease_name(job.key),
            "namespace": job.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_PROJECT: job.project},
            "ownerReferences": [owner_reference(job)] if old is None else old["metadata"].get("ownerReferences", []),
        }
        transitions = 0
        if old is not None:
            metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
            metadata["uid"] = old["metadata"]["uid"]
            transitions = int(old["spec"].get("leaseTransitions") or 0) + 1
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {"holderIdentity": job.uid, "acquireTime": now, "renewTime": now, "leaseTransitions": transitions},
        }
