"""Job: one training, over all its attempts.

Each attempt is a pod with series of its own; `max by` joins them into one line.
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
    """Large figures, and what the trainer does."""
    return [
        figure("Iterations", "Iterations done, over all attempts.", "short", Query(_of("iteration"), "done")),
        figure(
            "Done",
            "Share of training.maxIterations; a job with maxTrainingHours may end before.",
            "percentunit",
            Query(f"{_of('iteration')} / {_of('max_iterations')}", "done"),
        ),
        figure(
            "Time left",
            "Until maxIterations, at the speed of the last 5 minutes, evaluations included.",
            "s",
            Query(f"({_of('max_iterations')} - {_of('iteration')}) / (deriv({_of('iteration')}[5m:15s]) > 0)", "left"),
        ),
        figure(
            "Trained",
            "Time of training over all attempts, evaluations included.",
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
            "Training that would be lost with the pod: since the last complete checkpoint, or since the attempt's first iteration.",
            "s",
            Query(
                f"time() - max(headrace_trainer_checkpoint_timestamp_seconds{{{HERE}}} "
                f"or on (pod) headrace_trainer_training_start_timestamp_seconds{{{HERE}}})",
                "age",
            ),
        ),
        phases(
            "Phase",
            "What the trainer does: pull the dataset, build the network, train, evaluate, export, end.",
            Query(f"max by (phase) (headrace_trainer_phase{{{HERE}}})", "{{phase}}"),
        ),
    ]


def _learning() -> Part:
    """What is learnt, and how much of it is safe."""
    return [
        row("Learning"),
        curves(
            "Loss",
            "Weighted sum of all heads' losses, mean between two reports (about 1 s).",
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
            "Of the last evaluation on held-out images; each holds until the next one.",
            "short",
            Query(f"max by (head, metric) (headrace_trainer_score{{{HERE}}})", "{{head}} {{metric}}"),
        ),
        curves("Learning rate", "Of the last iteration, after warm-up and decay.", "short", Query(_of("learning_rate"), "rate")),
        curves(
            "Gradient norm",
            "Before clipping. One that grows without end comes before a loss that is not finite.",
            "short",
            Query(_of("gradient_norm"), "norm"),
        ),
        curves(
            "Iterations done, and safe",
            "What is between the two lines would have to be learnt again after a crash.",
            "short",
            Query(_of("iteration"), "done"),
            Query(_of("checkpoint_iteration"), "in a checkpoint"),
        ),
    ]


def _speed() -> Part:
    """How fast, and what holds it up."""
    return [
        row("Speed"),
        curves(
            "Images a second",
            "Images learnt from; evaluations do not count.",
            "short",
            Query(_of("images_per_second"), "images/s"),
        ),
        curves(
            "Time waiting for data",
            "Share of the training time in which no batch was ready. Above some percent: more cpu, or smaller images.",
            "percentunit",
            Query(_of("data_wait_ratio"), "waiting"),
        ),
        curves("Device memory", "Memory taken on the GPU; without one, 0.", "bytes", Query(_of("device_memory_bytes"), "taken")),
    ]


def _storage() -> Part:
    """The way in and the way out."""
    return [
        row("Storage"),
        curves(
            "Dataset on local disk",
            "Bytes pulled into the workspace, and bytes to pull.",
            "bytes",
            Query(_of("dataset_pulled_bytes"), "pulled"),
            Query(_of("dataset_bytes"), "dataset"),
        ),
        curves(
            "Uploads",
            "Bytes a second into the run folder: checkpoints, logs, metrics, the model.",
            "Bps",
            Query(f"sum(rate(headrace_trainer_uploaded_bytes_total{{{HERE}}}[$__rate_interval]))", "uploaded"),
        ),
        curves(
            "Failed uploads",
            "Tries to put something into the run folder that failed and are repeated, in the last 5 minutes.",
            "short",
            Query(f"sum(increase(headrace_trainer_upload_failures_total{{{HERE}}}[5m]))", "failures"),
        ),
        curves(
            "Memory of the supervisor",
            "Resident memory of the trainer's first process; the network lives in another one, and counts in the pod's memory.",
            "bytes",
            Query(f"max(process_resident_memory_bytes{{{HERE}}})", "supervisor"),
        ),
    ]


def _of(metric: str) -> str:
    return f"max(headrace_trainer_{metric}{{{HERE}}})"
