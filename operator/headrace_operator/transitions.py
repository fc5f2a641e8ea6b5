"""The Kubernetes Event for a status change, as shown by `kubectl describe` and `kubectl get events`. Pure."""

import secrets
from datetime import datetime

from headrace_api import names
from headrace_api.names import Reason, State
from headrace_api.trainingjob import TrainingJobStatus
from headrace_operator.api import Json
from headrace_operator.clock import micro_timestamp
from headrace_operator.state import Job

REPORTER = "headrace.dev/operator"
NOTE_BYTES = 1024
"""The server's limit on an Event's note."""
TELLING_REASONS = frozenset(
    {
        Reason.STOPPING,
        Reason.SUSPENDING,
        Reason.SUSPENDED,
        Reason.NODE_LOST,
        Reason.IMAGE_PULL_FAILED,
        Reason.CONTAINER_CONFIG_FAILED,
        Reason.POD_REFUSED,
    }
)
"""Reasons that are worth an Event even if the state stays the same."""
WARNINGS = frozenset({Reason.NODE_LOST, Reason.IMAGE_PULL_FAILED, Reason.CONTAINER_CONFIG_FAILED, Reason.POD_REFUSED})


def event_for(job: Job, new: TrainingJobStatus, reporter: str, now: datetime) -> Json | None:
    """The Event for the change from the job's status to a new one; None if it is not worth one."""
    told = _what_happened(job.status, new)
    if told is None:
        return None
    reason, warn = told
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{job.name}.{secrets.token_hex(8)}", "namespace": job.namespace},
        "eventTime": micro_timestamp(now),
        "type": "Warning" if warn else "Normal",
        "reason": reason,
        "action": str(new.reason or new.state),
        "note": _note(new.message),
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
            "resourceVersion": str(job.resource_version),
        },
        "reportingController": REPORTER,
        "reportingInstance": reporter[:128],
    }


def _note(message: str) -> str:
    """The message, cut to the API server's limit, which counts UTF-8 bytes, not characters."""
    content = message.encode()
    if len(content) <= NOTE_BYTES:
        return message
    return content[: NOTE_BYTES - len("…".encode())].decode(errors="ignore") + "…"


def _what_happened(old: TrainingJobStatus, new: TrainingJobStatus) -> tuple[str, bool] | None:
    """The Event's reason, and whether it is a warning."""
    if new.last_attempt is not None and new.last_attempt != old.last_attempt and new.state is State.QUEUED:
        return "AttemptEnded", new.last_attempt.charged
    if new.state is not None and new.state != old.state:
        return str(new.state), new.state is State.ERROR
    if new.reason is not None and new.reason != old.reason and new.reason in TELLING_REASONS:
        return str(new.reason), new.reason in WARNINGS
    return None
