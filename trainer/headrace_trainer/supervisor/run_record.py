"""What `run.json` says: kept up to date here, from this attempt and from what earlier attempts left there."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from headrace_api import names, runfolder
from headrace_api.report import Verdict
from headrace_api.run import AttemptRecord, DatasetRecord, HeadRecord, Machine, Run, ScoreRecord
from headrace_api.trainingjob import Better, MetricValue, Progress, TrainingJob
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_storage.store import NotFoundError, Store, StoredObject
from headrace_trainer.protocol import Evaluated, Opened
from headrace_trainer.supervisor.ending import Ending
from headrace_trainer.supervisor.journal import utc_now
from headrace_trainer.supervisor.progress import ProgressMeter

_STATES = {Verdict.DONE: names.State.DONE, Verdict.STOPPED: names.State.STOPPED, Verdict.ERROR: names.State.ERROR}
_CUT_OFF = "it left no outcome: its pod was killed, or its node was lost"


class RunRecord:
    """The record of one run. Methods may be called from any thread."""

    def __init__(
        self,
        job: TrainingJob,
        attempt: int,
        earlier: Run | None,
        *,
        image: str = "",
        started_from: str = "",
        now: Callable[[], str] = utc_now,
    ) -> None:
        """`earlier` is the run.json of the attempts before; `started_from` names the weights that the job starts from."""
        self._now = now
        self._lock = threading.Lock()
        self._written: Run | None = None
        began = now()
        before = [_closed(one) for one in earlier.attempts if one.number < attempt] if earlier else []
        meta, spec = job.metadata, job.spec
        known = {head.name: head for head in earlier.heads} if earlier else {}
        self._run = Run(
            job=meta.name,
            namespace=meta.namespace,
            project=spec.project,
            uid=meta.uid,
            labels=meta.labels,
            description=spec.description,
            duplicated_from=meta.annotations.get(names.ANNOTATION_DUPLICATED_FROM, ""),
            continued_from=started_from,
            state=names.State.STARTING,
            reason=names.Reason.PREPARING,
            submitted=meta.creation_timestamp,
            started=earlier.started if earlier and earlier.started else began,
            running=earlier.running if earlier else None,
            attempts=[*before, AttemptRecord(number=attempt, started=began, state=names.State.STARTING)],
            iteration=earlier.iteration if earlier else 0,
            max_iterations=spec.training.max_iterations,
            trained_seconds=earlier.trained_seconds if earlier else 0,
            machine=Machine(headrace=names.RELEASE, gpus=spec.resources.gpus, image=image),
            dataset=earlier.dataset if earlier else None,
            heads=[known.get(head.name, HeadRecord(name=head.name, task=head.task)) for head in spec.model.heads],
            pictures=earlier.pictures if earlier else [],
            pictured=earlier.pictured if earlier else [],
            files=earlier.files if earlier else Run.model_fields["files"].get_default(call_default_factory=True),
        )

    @property
    def run(self) -> Run:
        """The record as it is now."""
        with self._lock:
            return self._run

    def take(self) -> bytes | None:
        """The content of run.json, if it has news since the last call."""
        with self._lock:
            if self._run == self._written:
                return None
            self._written = self._run
            return self._run.model_copy(update={"updated": self._now()}).model_dump_json(by_alias=True, indent=2).encode() + b"\n"

    def dataset(self, uri: str, objects: Sequence[StoredObject]) -> None:
        """The dataset's listing is known."""
        self._update(
            dataset=DatasetRecord(
                uri=uri, digest=listing_digest(objects), files=len(objects), bytes=sum(one.size for one in objects)
            )
        )

    def opened(self, message: Opened) -> None:
        """The worker has read the dataset and built the network."""
        machine = message.machine.model_dump(exclude_defaults=True)
        dataset = self.run.dataset
        self._update(
            machine=self.run.machine.model_copy(update=machine),
            dataset=dataset and dataset.model_copy(update={"images": message.images, "layers": message.layers}),
        )

    def resumed(self, iteration: int) -> None:
        """The attempt continues after `iteration`, 0 if it starts over: what was measured later belongs to a past that is gone."""
        run = self.run
        heads = [head.model_copy(update={"scores": [_until(score, iteration) for score in head.scores]}) for head in run.heads]
        self._attempt(from_iteration=iteration, iteration=iteration)
        self._update(iteration=iteration, heads=heads, pictured=[one for one in run.pictured if one <= iteration])

    def progressed(self, meter: ProgressMeter, images_per_second: float | None = None) -> None:
        """The first iteration is done, or a checkpoint or an evaluation."""
        self._attempt(state=names.State.RUNNING, iteration=meter.iteration)
        self._update(
            state=names.State.RUNNING,
            reason=names.Reason.TRAINING,
            running=self.run.running or self._now(),
            iteration=meter.iteration,
            trained_seconds=meter.trained_seconds,
            images_per_second=images_per_second or self.run.images_per_second,
        )

    def evaluated(self, message: Evaluated) -> None:
        """There are new scores and pictures."""
        by_head: dict[str, list[MetricValue]] = {}
        for score in message.scores:
            by_head.setdefault(score.head, []).append(score)
        pictured = {*self.run.pictured, message.iteration} if message.pictures else self.run.pictured
        self._update(
            pictures=message.pictures or self.run.pictures,
            pictured=sorted(pictured),
            heads=[
                head.model_copy(update={"scores": _with_scores(head.scores, by_head[head.name])}) if head.name in by_head else head
                for head in self.run.heads
            ],
        )

    def files(self, **known: Any) -> None:
        """Something new is in the run folder: fields of `Files`."""
        self._update(files=self.run.files.model_copy(update=known))

    def ended(self, ending: Ending, progress: Progress) -> None:
        """The attempt is over."""
        said = {"state": _STATES[ending.verdict], "reason": ending.reason, "message": ending.message, "ended": self._now()}
        iteration = progress.iteration or self.run.iteration  # 0 if it ended before it knew where to continue
        self._attempt(iteration=iteration, **said)
        self._update(iteration=iteration, trained_seconds=progress.trained_seconds or self.run.trained_seconds, **said)

    def _update(self, **fields: Any) -> None:
        with self._lock:
            self._run = self._run.model_copy(update=fields)

    def _attempt(self, **fields: Any) -> None:
        with self._lock:
            *before, this = self._run.attempts
            self._run = self._run.model_copy(update={"attempts": [*before, this.model_copy(update=fields)]})


def read_earlier(store: Store, say: Callable[[str], None]) -> Run | None:
    """The run.json of earlier attempts, if there is one that can be read."""
    try:
        return Run.model_validate_json(store.read(runfolder.RUN), extra="ignore")
    except NotFoundError:
        return None
    except ValidationError as error:
        say(f"{store.uri}{runfolder.RUN} cannot be read and is replaced: {wrong_fields_in_words(error, Run)}")
        return None


def listing_digest(objects: Iterable[StoredObject]) -> str:
    """SHA-256 of a listing: keys, sizes and ETags."""
    lines = sorted(f"{one.key}\t{one.size}\t{one.etag}\n" for one in objects)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _closed(attempt: AttemptRecord) -> AttemptRecord:
    return attempt if attempt.ended else attempt.model_copy(update={"state": None, "message": attempt.message or _CUT_OFF})


def _until(score: ScoreRecord, iteration: int) -> ScoreRecord:
    update: dict[str, None] = {}
    for which in ("last", "best"):
        at = getattr(score, f"{which}_iteration")
        if at is not None and at > iteration:
            update |= {which: None, f"{which}_iteration": None}
    return score.model_copy(update=update)


def _with_scores(known: Sequence[ScoreRecord], measured: Sequence[MetricValue]) -> list[ScoreRecord]:
    """The scores of a head after an evaluation; those that it could not measure this time stay."""
    records = {record.name: record for record in known}
    for value in measured:
        record = records.get(value.name, ScoreRecord(name=value.name))
        update: dict[str, Any] = {
            "better": value.better,
            "unit": value.unit,
            "primary": value.primary,
            "last": value.value,
            "last_iteration": value.iteration,
        }
        if _is_better(value.value, record.best, value.better):
            update |= {"best": value.value, "best_iteration": value.iteration}
        records[value.name] = record.model_copy(update=update)
    return list(records.values())


def _is_better(value: float, best: float | None, better: Better | None) -> bool:
    """Of equal values, the later one counts, as for best.json. Without a direction there is no best."""
    if better is None:
        return False
    return best is None or (value >= best if better is Better.HIGHER else value <= best)
