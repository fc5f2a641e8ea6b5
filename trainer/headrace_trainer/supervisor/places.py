"""Decides once where a job's data is: the command line wins over the job."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from headrace_api import runfolder
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.trainingjob import TrainingJob
from headrace_storage.places import lies_in, local_path
from headrace_storage.unusable_folder import refuse_dangling_link
from headrace_trainer.supervisor.settings import Settings


@dataclass(frozen=True)
class Places:
    """Each is an s3:// URI or the path of a folder."""

    dataset: str
    output: str
    run_folder: str
    initial_weights: str | None
    """None if the job starts with random weights."""
    workspace: Path

    @classmethod
    def of(cls, job: TrainingJob, settings: Settings) -> Self:
        """Raises FatalError: MISSING_STORAGE if neither names an output, INVALID_SPEC if one place is inside another."""
        output = settings.output or (job.spec.output.uri if job.spec.output else None)
        if output is None:
            raise FatalError(
                Reason.MISSING_STORAGE, "the job names no output, and the operator has no default: set spec.output.uri"
            )
        refuse_dangling_link("workspace", settings.workspace)  # resolving it would make the folder that it names
        meta, weights = job.metadata, job.spec.model.initial_weights
        uid = meta.uid or runfolder.UID_OF_LOCAL_RUNS
        places = cls(
            dataset=settings.dataset or job.spec.dataset.uri,
            output=output,
            run_folder=runfolder.run_folder(output, meta.namespace, job.spec.project, meta.name, uid),
            initial_weights=settings.initial_weights or (weights.uri if weights else None),
            workspace=settings.workspace.resolve(),
        )
        places._refuse_overlaps()
        return places

    def as_used(self, job: TrainingJob) -> dict[str, Any]:
        """The job as plain data, with all defaults, and with these places instead of those that it names."""
        document = job.model_dump(mode="json", by_alias=True, exclude_none=True)
        spec = document["spec"]
        spec["dataset"]["uri"], spec["output"] = self.dataset, {"uri": self.output}
        if self.initial_weights is not None:
            spec["model"]["initialWeights"] = {**spec["model"].get("initialWeights", {}), "uri": self.initial_weights}
        return document

    @property
    def dataset_folder(self) -> Path | None:
        """The dataset's folder if it is local, to be used in place; None if it is in object storage."""
        return local_path(self.dataset)

    def _refuse_overlaps(self) -> None:
        """Protects your data: the workspace is wiped, so nothing else may be in it. A dataset is never written to, because the next
        job would take the pictures there for images."""
        workspace, dataset = self.workspace, self.dataset_folder
        weights = local_path(self.initial_weights) if self.initial_weights else None
        for what, place in (("dataset", dataset), ("output", local_path(self.run_folder)), ("initial weights", weights)):
            if place is not None and place.resolve().is_relative_to(workspace):
                raise FatalError(
                    Reason.INVALID_SPEC, f"the {what} {place} is inside the workspace {workspace}, which is wiped: move one of them"
                )
        if dataset is not None and workspace.is_relative_to(dataset.resolve()):
            raise FatalError(
                Reason.INVALID_SPEC,
                f"the workspace {workspace} is inside the dataset {dataset}, which is read-only: move one of them",
            )
        if lies_in(self.run_folder, self.dataset):
            raise FatalError(
                Reason.INVALID_SPEC,
                f"the output {self.run_folder} is inside the dataset {self.dataset}, which is read-only: name another output",
            )
