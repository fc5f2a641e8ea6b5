"""The slot of a project: at most one trainer of a project runs, whatever happens to operators (invariant 1).

A start takes these steps, in this order:

  0. get the resourceVersion of the project's Lease (from memory, else GET)
  1. LIST the project's jobs, live; decide whose turn it is
  2. write the Lease, holder = the job's uid, with the precondition that it is still at the version of step 0
  3. LIST the project's pods, live; continue only if all of them have terminated. Delete foreign gated pods, with their uid
     and resourceVersion as preconditions, and retry the start later
  4. create the pod with a scheduling gate: it exists, but no scheduler may bind it
  5. GET the Lease: if it is still at the version that step 2 wrote, remove the gate, with the precondition that the pod is
     the one created, unchanged; otherwise delete the pod again

Why two pods of a project are never both released: let E and L be two starts, by any operators, where E wrote the Lease
earlier (writes are ordered by resourceVersion). Suppose E removes its gate. Then in E's step 5 the Lease was still E's, so L's
write came after E's step 5, hence after E's pod was created (4); and L's LIST (3) came after L's write. So L's LIST shows
E's pod, unless it is gone. If it shows the pod ungated and not terminated, L does not continue. If it shows the pod gated, L
deletes it before continuing: either the deletion wins, and E's removal of the gate finds no such pod; or E's removal wins, the
deletion's precondition fails, and L does not continue. If the pod is gone, it can never run again: uids are not reused.

It follows that a pod that a start lost track of (its operator died between two calls, or an answer was lost) is either gated,
and the next operator to look deletes it, or was rightfully released. A job's next attempt writes the Lease again, so an attempt
decided before that can no longer start. Step 1 comes after 0, so that a job seen as next is still next if step 2 succeeds:
an operator that started another job in between would have written the Lease.

API calls per start: three reads (1, 3, 5) and three writes (2, 4, 5), besides status and events.
"""

from dataclasses import dataclass

from headrace_api import names
from headrace_operator.api import Api, ConflictError, Json, NotFoundError
from headrace_operator.clock import Clock, micro_timestamp
from headrace_operator.pods import owner_reference
from headrace_operator.state import Job, ProjectKey, Raw

KEPT_LEASES = 20_000
"""How many Leases are remembered between starts; a forgotten one costs a GET."""


class SlotTakenError(Exception):
    """Another start wrote the Lease: look again."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The Lease as this start wrote it."""

    key: ProjectKey
    resource_version: str


def lease_name(key: ProjectKey) -> str:
    """Name of a project's Lease, in the namespace of its jobs."""
    return f"headrace-{key.project}"


class Slots:
    """The Leases of all projects, as last seen."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self.api = api
        self.clock = clock
        self.known: dict[ProjectKey, Raw | None] = {}

    async def look(self, key: ProjectKey) -> Raw | None:
        """Step 0: the Lease as last seen; None if there is none yet."""
        return self.known[key] if key in self.known else await self._get(key)

    async def take(self, job: Job, old: Raw | None) -> Hold:
        """Step 2. `old` is what step 0 saw.

        Raises:
            SlotTakenError: the Lease has changed since.
        """
        key = job.key
        self.known.pop(key, None)  # unknown until the answer arrives
        try:
            new = await (
                self.api.create_lease(self._lease(job, None)) if old is None else self.api.replace_lease(self._lease(job, old))
            )
        except (ConflictError, NotFoundError) as error:
            raise SlotTakenError(f"Lease {lease_name(key)} of project {key} was written by another start") from error
        self._remember(key, new)
        return Hold(key, new["metadata"]["resourceVersion"])

    async def still_held(self, hold: Hold) -> bool:
        """The first half of step 5."""
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
        """The Lease held by a job. It belongs to the job it was created for and is deleted with it; the next start creates another.

        Its owner never changes: with OwnerReferencesPermissionEnforcement, that would need the permission to delete Leases.

        leaseTransitions grows with every write: a write without a change would not change the resourceVersion.
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
