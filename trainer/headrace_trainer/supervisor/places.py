"""Where a job's data is: what the command line names, else what the job names, decided once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from headrace_api import runfolder
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.trainingjob import TrainingJob
from headrace_storage.places import lies_in, local_path
from headrace_trainer.supervisor.settings import Settings


@dataclass(frozen=True)
class Places:
    """Each is an s3:// URI or the path of a folder."""

    dataset: str
    run_folder: str
    initial_weights: str | None
    """None where the job begins with random weights."""
    workspace: Path

    @classmethod
    def of(cls, job: TrainingJob, settings: Settings) -> Self:
        """Raises FatalError: MISSING_STORAGE where neither names an output, INVALID_SPEC where one place is in another."""
        output = settings.output or (job.spec.output.uri if job.spec.output else None)
        if output is None:
            raise FatalError(
                Reason.MISSING_STORAGE, "the job names no output, and the operator has no default: set spec.output.uri"
            )
        meta, weights = job.metadata, job.spec.model.initial_weights
        uid = meta.uid or runfolder.UID_OF_LOCAL_RUNS
        places = cls(
            dataset=settings.dataset or job.spec.dataset.uri,
            run_folder=runfolder.run_folder(output, meta.namespace, job.spec.project, meta.name, uid),
            initial_weights=settings.initial_weights or (weights.uri if weights else None),
            workspace=settings.workspace.resolve(),
        )
        places._refuse_overlaps()
        return places

    @property
    def dataset_folder(self) -> Path | None:
        """The dataset where it is a local folder, which is used in place; None where it is in object storage."""
        return local_path(self.dataset)

    def _refuse_overlaps(self) -> None:
        """The workspace is wiped: nothing of anybody's may be in it. And a dataset is never written to: the next job would take the
        pictures there for images."""
        workspace, dataset = self.workspace, self.dataset_folder
        weights = local_path(self.initial_weights) if self.initial_weights else None
        for what, place in (("dataset", dataset), ("output", local_path(self.run_folder)), ("initial weights", weights)):
            if place is not None and place.resolve().is_relative_to(workspace):
                raise FatalError(
                    Reason.INVALID_SPEC, f"the {what} {place} lies in the workspace {workspace}, which is wiped: move one of them"
                )
        if dataset is not None and workspace.is_relative_to(dataset.resolve()):
            raise FatalError(
                Reason.INVALID_SPEC,
                f"the workspace {workspace} lies in the dataset {dataset}, which is only read: move one of them",
            )
        if lies_in(self.run_folder, self.dataset):
            raise FatalError(
                Reason.INVALID_SPEC,
                f"the output {self.run_folder} lies in the dataset {self.dataset}, which is only read: name another output",
            )
