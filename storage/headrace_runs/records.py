"""One run folder as a `Run`, whichever version wrote it and whatever is missing."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from headrace_api import runfolder
from headrace_api.errors import TrainerError
from headrace_api.names import State
from headrace_api.report import Outcome, Verdict
from headrace_api.run import AttemptRecord, Files, HeadRecord, Run, ScoreRecord
from headrace_api.trainingjob import MetricValue, TrainingJob
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_storage.store import NotFoundError, Store, StoreError

M = TypeVar("M", bound=BaseModel)

_STATES = {Verdict.DONE: State.DONE, Verdict.STOPPED: State.STOPPED, Verdict.ERROR: State.ERROR}


@dataclass(frozen=True)
class FoundRun:
    """What could be read of a run."""

    uri: str
    run: Run
    trouble: str = ""
    """For people: what could not be read, and why; empty if nothing is amiss."""


def read_run(store: Store) -> FoundRun:
    """Reads the run whose folder is the root of `store`. What is missing or damaged is named in `trouble`, and left at its default.

    Raises:
        TrainerError: the store refuses access.
        StoreError: it does not answer.
    """
    try:
        return FoundRun(store.uri, Run.model_validate_json(store.read(runfolder.RUN), extra="ignore"))
    except NotFoundError:
        return _read_older(store, "")
    except ValidationError as error:
        return _read_older(store, f"{runfolder.RUN} cannot be read: {wrong_fields_in_words(error, Run)}")


def unread(uri: str, error: StoreError | TrainerError | OSError) -> FoundRun:
    """A run whose folder cannot be read at all."""
    return FoundRun(uri, _named_by_folder(uri), f"the run folder cannot be read: {error}")


class _Marker(BaseModel):
    """As much of checkpoints/latest.json as all versions have."""

    iteration: int = Field(ge=0)
    folder: str
    metrics: list[MetricValue] = Field(default_factory=list)
    trained_seconds: float = Field(0, alias="trainedSeconds")


def _read_older(store: Store, trouble: str) -> FoundRun:
    """A run from the files that every version writes: job.json at the start, a marker at each checkpoint, an outcome at the end."""
    troubles = [trouble] if trouble else []
    job = _read(store, runfolder.JOB, TrainingJob, troubles)
    marker = _read(store, runfolder.LATEST, _Marker, troubles)
    outcome = _read(store, runfolder.OUTCOME, Outcome, troubles)
    run = _named_by_folder(store.uri) if job is None else _of_job(job)
    if job is None and not troubles:
        troubles.append(f"there is no {runfolder.JOB}: the folder is half deleted, or not a run folder")
    if marker is not None:
        files = Files(latest=marker.folder, latest_iteration=marker.iteration)
        run = run.model_copy(
            update={
                "files": files,
                "iteration": marker.iteration,
                "trained_seconds": marker.trained_seconds,
                "heads": _with_scores(run.heads, marker.metrics),
            }
        )
    if outcome is not None:
        state = _STATES[outcome.outcome]
        run = run.model_copy(
            update={
                "state": state,
                "reason": outcome.reason.value,
                "message": outcome.message,
                "ended": outcome.progress.last_updated_time,
                "iteration": max(run.iteration, outcome.progress.iteration),
                "trained_seconds": max(run.trained_seconds, outcome.progress.trained_seconds),
                "heads": _with_scores(run.heads, outcome.progress.metrics),
                "files": run.files.model_copy(update={"model": state is State.DONE}),
            }
        )
    return FoundRun(store.uri, run.model_copy(update={"attempts": _attempts(store)}), "; ".join(troubles))


def _read(store: Store, key: str, model: type[M], troubles: list[str]) -> M | None:
    try:
        return model.model_validate_json(store.read(key), extra="ignore")
    except NotFoundError:
        return None
    except ValidationError as error:
        troubles.append(f"{key} cannot be read: {wrong_fields_in_words(error, model)}")
        return None


def _of_job(job: TrainingJob) -> Run:
    meta, spec = job.metadata, job.spec
    return Run(
        job=meta.name,
        namespace=meta.namespace,
        project=spec.project,
        uid=meta.uid,
        labels=meta.labels,
        description=spec.description,
        submitted=meta.creation_timestamp,
        max_iterations=spec.training.max_iterations,
        heads=[HeadRecord(name=head.name, task=head.task) for head in spec.model.heads],
    )


def _named_by_folder(uri: str) -> Run:
    """What the folder's own path tells: .../<namespace>/<project>/<job>-<first 8 of the uid>/."""
    namespace, project, name = ["", "", *uri.rstrip("/").split("/")][-3:]
    job, _, uid = name.rpartition("-")
    return Run(job=job or name, namespace=namespace, project=project, uid=uid if job else "")


def _with_scores(heads: list[HeadRecord], scores: list[MetricValue]) -> list[HeadRecord]:
    """Only the last evaluation is known, and before run.json nobody wrote which values are better."""
    by_head: dict[str, list[ScoreRecord]] = {head.name: [] for head in heads}
    for one in scores:
        record = ScoreRecord(
            name=one.name, better=one.better, unit=one.unit, primary=one.primary, last=one.value, last_iteration=one.iteration
        )
        by_head.setdefault(one.head, []).append(record)
    tasks = {head.name: head for head in heads}
    return [
        tasks.get(name, HeadRecord(name=name)).model_copy(update={"scores": found} if found else {})
        for name, found in by_head.items()
    ]


def _attempts(store: Store) -> list[AttemptRecord]:
    names = store.folders(runfolder.ATTEMPTS)
    return [AttemptRecord(number=int(name)) for name in sorted((n for n in names if n.isdecimal() and int(n)), key=int)]
