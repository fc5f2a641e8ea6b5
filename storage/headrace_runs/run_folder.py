"""One run folder: its record, configuration, curves, metrics, log and pictures."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import ValidationError

from headrace_api import runfolder
from headrace_api.run import PictureRecord, RunCurves
from headrace_runs.metric_rows import MetricRow, curves_of, rows_of
from headrace_runs.record_lines import lines
from headrace_runs.records import FoundRun, read_run
from headrace_storage.places import open_store
from headrace_storage.store import NotFoundError, Store


class RunFolder:
    """Reads one run folder. Each method sends its own requests, so what it returns is as new as its call.

    All methods raise headrace_storage's errors if the store refuses access or does not answer; whatever is missing in the folder is
    empty or None.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, uri: str, environment: Mapping[str, str]) -> Self:
        """The run folder at an s3:// URI or a path. Sends no request yet."""
        return cls(open_store(uri, environment))

    @property
    def uri(self) -> str:
        """Ends in "/"."""
        return self.store.uri

    def run(self) -> FoundRun:
        """What a list shows of it."""
        return read_run(self.store)

    def configuration(self) -> dict[str, Any]:
        """job.json, a TrainingJob with its defaults, as plain data; empty if it is missing or cannot be parsed."""
        try:
            document = json.loads(self.store.read(runfolder.JOB))
        except (NotFoundError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def attempts(self) -> list[int]:
        """The numbers of the attempts that left a log or metrics."""
        found = (runfolder.attempt_of(f"{runfolder.ATTEMPTS}{name}/") for name in self.store.folders(runfolder.ATTEMPTS))
        return sorted(number for number in found if number is not None)

    def log(self, attempt: int | None = None) -> Iterator[str]:
        """The lines of one attempt's log, or of all in order."""
        for number in self.attempts() if attempt is None else [attempt]:
            yield from lines(self.store, runfolder.Attempt(number).log)

    def metrics(self, attempt: int | None = None) -> Iterator[MetricRow]:
        """The reports of one attempt, or of all in order. Iterations that a later attempt repeated are there twice."""
        for number in self.attempts() if attempt is None else [attempt]:
            for line in lines(self.store, runfolder.Attempt(number).metrics):
                yield from rows_of(number, line)

    def curves(self) -> RunCurves:
        """Losses and scores over the iterations of the run; from the metrics if an older version wrote no curves.json."""
        try:
            return RunCurves.model_validate_json(self.store.read(runfolder.CURVES), extra="ignore")
        except (NotFoundError, ValidationError):
            return curves_of(self.metrics())

    def picture(self, iteration: int, picture: PictureRecord) -> bytes | None:
        """A JPEG of the predictions for a held-out image at one evaluation; None if it is not there."""
        return self._content(runfolder.picture(iteration, picture.head, picture.file))

    def truth(self, picture: PictureRecord) -> bytes | None:
        """A JPEG of the labels of a held-out image; None if it is not there."""
        return self._content(runfolder.truth_picture(picture.head, picture.file))

    def _content(self, key: str) -> bytes | None:
        try:
            return self.store.read(key)
        except NotFoundError:
            return None
