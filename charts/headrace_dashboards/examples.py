"""One registry per program in which every metric has a sample; the table of metrics and its tests use them."""

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from headrace_api import names
from headrace_api.report import Phase
from headrace_api.trainingjob import LastAttempt, MetricValue, TrainingJobStatus
from headrace_operator.cache import Cache
from headrace_operator.metrics import Metrics as OperatorMetrics
from headrace_operator.state import Raw
from headrace_trainer.protocol import Evaluated, Stepped
from headrace_trainer.supervisor.metrics import Metrics as TrainerMetrics

NAMESPACE, PROJECT, JOB = "vision", "street", "street-2"
NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)


def operator() -> CollectorRegistry:
    """The registry of a leader with one running, one queued and one failed job."""
    cache, metrics = Cache(), OperatorMetrics()
    for number, state in enumerate(("Running", "Queued", "Error"), 1):
        cache.jobs.put(_job(number, state))
    cache.pods.put(_pod())
    metrics.watch(cache, lambda: 0, leads=lambda: True, now=lambda: NOW)
    metrics.leader.set(1)
    metrics.queue_wait.observe(12)
    metrics.start_latency.observe(0.2)
    metrics.reconcile.observe(0.03)
    metrics.count_request("GET", 200)
    ended = LastAttempt(number=1, reason=names.Reason.OUT_OF_MEMORY, charged=True, finished_time="2026-01-01T00:00:00Z")
    metrics.count_ends(TrainingJobStatus(), TrainingJobStatus(state=names.State.ERROR, last_attempt=ended))
    return metrics.registry


def trainer() -> CollectorRegistry:
    """The registry of a trainer that has trained, evaluated and saved."""
    metrics = TrainerMetrics()
    for gauge in (metrics.dataset_files, metrics.dataset_bytes, metrics.pulled_files, metrics.pulled_bytes):
        gauge.set(1000)
    metrics.set_phase(Phase.TRAINING)
    metrics.set_progress(iteration=500, max_iterations=2000, trained_seconds=60)
    metrics.stepped(
        Stepped(
            iteration=500,
            trained_seconds=60,
            losses={"total": 1.5, "boxes/class": 1.0},
            loss_weights={"boxes": 1.0},
            learning_rate=1e-3,
            gradient_norm=2.0,
            images_per_second=140.0,
            data_wait_share=0.02,
            device_memory_bytes=2**30,
        )
    )
    metrics.evaluated(
        Evaluated(iteration=500, scores=[MetricValue(head="boxes", name="AP", value=0.3, iteration=500)], pictures=[])
    )
    metrics.checkpoint_is_safe(500)
    metrics.uploads.inc(3)
    metrics.uploaded_bytes.inc(2**20)
    metrics.upload_failures.inc()
    return metrics.registry


def _job(number: int, state: str) -> Raw:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{PROJECT}-{number}",
            "uid": f"job-{number}",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "project": PROJECT,
            "dataset": {"uri": "s3://datasets/street/"},
            "model": {
                "backbone": {"name": "resnet18"},
                "heads": [{"name": "tags", "annotations": "tags", "multilabelClassification": {}}],
            },
        },
        "status": {"state": state, **({"completionTime": "2026-01-01T00:00:00Z"} if state == "Error" else {})},
    }


def _pod() -> Raw:
    return {
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{PROJECT}-1-1",
            "uid": "pod-1",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {names.LABEL_PROJECT: PROJECT, names.LABEL_JOB: f"{PROJECT}-1", names.LABEL_ATTEMPT: "1"},
        },
        "spec": {
            "nodeName": "gpu-1",
            "containers": [{"name": names.CONTAINER, "resources": {"limits": {names.RESOURCE_GPU: "1"}}}],
        },
        "status": {"phase": "Running"},
    }
