"""Job: one training, over all its attempts.

Each attempt is a pod with its own series; `max by` joins them into one line.
"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from headrace_dashboards.frame import Part, one, page
from headrace_dashboards.panels import Query, curves, figure, phases, row

HERE = 'namespace="$namespace",project="$project",trainingjob="$job"'


def job() -> Dashboard:
    """The dashboard."""
    return page(
        "Job",
        "Losses, scores, speed and safety of one TrainingJob, over all its attempts.",
        [
            one("namespace", "Namespace", "label_values(headrace_trainer_phase, namespace)"),
            one("project", "Project", 'label_values(headrace_trainer_phase{namespace="$namespace"}, project)'),
            one("job", "Job", 'label_values(headrace_trainer_phase{namespace="$namespace",project="$project"}, trainingjob)'),
        ],
        [*_now(), *_learning(), *_speed(), *_storage()],
        hours=6,
    )


def _now() -> Part:
    """Large figures, and what the trainer is doing."""
    return [
        figure("Iterations", "Iterations done, over all attempts.", "short", Query(_of("iteration"), "done")),
        figure(
            "Done",
            "Share of training.maxIterations; a job with maxTrainingHours may end earlier.",
            "percentunit",
            Query(f"{_of('iteration')} / {_of('max_iterations')}", "done"),
        ),
        figure(
            "Time left",
            "Until maxIterations, at the speed of the last 5 minutes, including evaluations.",
            "s",
            Query(f"({_of('max_iterations')} - {_of('iteration')}) / (deriv({_of('iteration')}[5m:15s]) > 0)", "left"),
        ),
        figure(
            "Trained",
            "Training time over all attempts, including evaluations.",
            "s",
            Query(_of("trained_seconds"), "trained"),
        ),
        figure(
            "Attempts seen",
            "Pods of this job that Prometheus saw within the time range.",
            "short",
            Query(f"count(max by (pod) (count_over_time(headrace_trainer_phase{{{HERE}}}[$__range])))", "attempts", last=True),
        ),
        figure(
            "Since the last checkpoint",
            "Training that losing the pod would lose: since the last complete checkpoint, or since the attempt's first iteration.",
            "s",
            Query(
                f"time() - max(headrace_trainer_checkpoint_timestamp_seconds{{{HERE}}} "
                f"or on (pod) headrace_trainer_training_start_timestamp_seconds{{{HERE}}})",
                "age",
            ),
        ),
        phases(
            "Phase",
            "What the trainer is doing: pulling the dataset, building the network, training, evaluating, exporting, ending.",
            Query(f"max by (phase) (headrace_trainer_phase{{{HERE}}})", "{{phase}}"),
        ),
    ]


def _learning() -> Part:
    """What the network learns, and how much of it is safe."""
    return [
        row("Learning"),
        curves(
            "Loss",
            "Weighted sum of all heads' losses; mean between two reports (about 1 s).",
            "short",
            Query(_of("total_loss"), "total"),
            zero=False,
        ),
        curves(
            "Loss terms",
            "Each term of each head, before its weight; mean between two reports.",
            "short",
            Query(f"max by (head, term) (headrace_trainer_loss{{{HERE}}})", "{{head}} {{term}}"),
            zero=False,
        ),
        curves(
            "Scores",
            "Scores of the last evaluation on held-out images; they stay the same until the next one.",
            "short",
            Query(f"max by (head, metric) (headrace_trainer_score{{{HERE}}})", "{{head}} {{metric}}"),
        ),
        curves(
            "Learning rate",
            "Learning rate of the last iteration, after warm-up and decay.",
            "short",
            Query(_of("learning_rate"), "rate"),
        ),
        curves(
            "Gradient norm",
            "Norm before clipping. If it keeps growing, the loss will stop being finite.",
            "short",
            Query(_of("gradient_norm"), "norm"),
        ),
        curves(
            "Iterations done, and safe",
            "After a crash, the job must repeat the iterations between the two lines.",
            "short",
            Query(_of("iteration"), "done"),
            Query(_of("checkpoint_iteration"), "in a checkpoint"),
        ),
    ]


def _speed() -> Part:
    """How fast it trains, and what slows it down."""
    return [
        row("Speed"),
        curves(
            "Images a second",
            "Images trained on; evaluations do not count.",
            "short",
            Query(_of("images_per_second"), "images/s"),
        ),
        curves(
            "Time waiting for data",
            "Share of training time in which no batch was ready. If it exceeds a few percent, use more CPU or smaller images.",
            "percentunit",
            Query(_of("data_wait_ratio"), "waiting"),
        ),
        curves("Device memory", "Memory in use on the GPU; 0 without a GPU.", "bytes", Query(_of("device_memory_bytes"), "taken")),
    ]


def _storage() -> Part:
    """Data coming in and going out."""
    return [
        row("Storage"),
        curves(
            "Dataset on local disk",
            "Bytes pulled into the workspace, and bytes of the whole dataset.",
            "bytes",
            Query(_of("dataset_pulled_bytes"), "pulled"),
            Query(_of("dataset_bytes"), "dataset"),
        ),
        curves(
            "Uploads",
            "Bytes per second uploaded to the run folder: checkpoints, logs, metrics, the model.",
            "Bps",
            Query(f"sum(rate(headrace_trainer_uploaded_bytes_total{{{HERE}}}[$__rate_interval]))", "uploaded"),
        ),
        curves(
            "Failed uploads",
            "Failed uploads to the run folder in the last 5 minutes; the trainer retries them.",
            "short",
            Query(f"sum(increase(headrace_trainer_upload_failures_total{{{HERE}}}[5m]))", "failures"),
        ),
        curves(
            "Memory of the supervisor",
            "Resident memory of the trainer's first process. The network is in another process, which the pod's memory includes.",
            "bytes",
            Query(f"max(process_resident_memory_bytes{{{HERE}}})", "supervisor"),
        ),
    ]


def _of(metric: str) -> str:
    return f"max(headrace_trainer_{metric}{{{HERE}}})"
