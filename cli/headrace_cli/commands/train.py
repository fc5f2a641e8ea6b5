"""`headrace train`: runs a TrainingJob on this machine, without a cluster."""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from headrace_api import runfolder
from headrace_api.model import InitialWeights
from headrace_api.names import ExitCode
from headrace_api.report import Outcome, Verdict
from headrace_api.trainingjob import Dataset, Output, TrainingJob
from headrace_cli.failure import fail, require_packages
from headrace_cli.manifest import read_job
from headrace_cli.trainer_process import TrainerProcess
from headrace_storage.scratch import Scratch, scratch_folder
from headrace_storage.stop import hold_back, holding_back, ignore_from_now_on

_NEEDED = ("torch", "torchvision", "minio", "prometheus_client", "rich", "safetensors")
"""Packages of the [trainer] extra that training needs to start."""
_LOOK_SECONDS = 0.25


def train(
    job: Annotated[Path, typer.Argument(help="YAML file with one TrainingJob.", metavar="JOB.yaml", show_default=False)],
    dataset: Annotated[
        str | None,
        typer.Option(
            help=f"Instead of spec.dataset.uri: a local folder (training only reads it) or s3://bucket/prefix/. "
            f"{Dataset.model_fields['uri'].description}",
            metavar="FOLDER|s3://...",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help=f"Instead of spec.output.uri: a local folder or s3://bucket/prefix/. {Output.model_fields['uri'].description}",
            metavar="FOLDER|s3://...",
            show_default=False,
        ),
    ] = None,
    initial_weights: Annotated[
        str | None,
        typer.Option(
            help=f"Instead of spec.model.initialWeights.uri: a local path (training only reads it) or s3://... "
            f"{InitialWeights.model_fields['uri'].description}",
            metavar="PATH|s3://...",
            show_default=False,
        ),
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the pulled dataset, and for checkpoints until they are in the output. It must be empty, and "
            "training wipes it at the end. Default: a temporary folder.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train on this machine, without a cluster.

    The results go to <output>/<namespace>/<project>/<job>-local/, which is laid out like every run folder. If you run the same
    command again, it continues from the latest checkpoint there; to start over, use another name or output. Ctrl-C saves a
    checkpoint and exits; a second Ctrl-C does not wait for it. Storage keys come from AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and AWS_REGION.

    Exit status: 0 done or stopped, 1 an error that a retry may get past, 2 an error that would happen again.

    Example: headrace train job.yaml --dataset ./street --output ./runs
    """
    wanted = read_job(job)
    if output is None and wanted.spec.output is None:
        fail("there is no place for the results", hint="pass --output, or set spec.output.uri")
    require_packages("training", _NEEDED)
    hold_back()  # until `_train` passes signals on: nothing may end us between the folder and its removal
    with scratch_folder() as scratch:
        place = workspace or scratch.folder / "workspace"
        code, outcome = _train(wanted, scratch, place, dataset=dataset, output=output, initial_weights=initial_weights)
    ignore_from_now_on()
    _report(wanted, output, code, outcome)
    # A negative code means that a signal killed it: a crash.
    raise typer.Exit(code if code >= 0 else ExitCode.RETRY)


def _train(job: TrainingJob, scratch: Scratch, workspace: Path, **places: str | None) -> tuple[int, Outcome | None]:
    """Run the trainer to its end and show its progress; `places` replace those that the job names."""
    from headrace_cli.progress_bar import ProgressBar

    with ProgressBar(job.metadata.name) as bar:
        with holding_back():  # the trainer, too, begins with signals held back, until it can take them
            trainer = TrainerProcess(job, scratch, workspace, on_line=bar.line, **places)

            def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
                trainer.stop()

            signal.signal(signal.SIGINT, stop)
            signal.signal(signal.SIGTERM, stop)
        while (code := trainer.wait(_LOOK_SECONDS)) is None:
            if (status := trainer.status()) is not None:
                bar.update(status)
        return code, trainer.outcome()


def _report(job: TrainingJob, output: str | None, code: int, outcome: Outcome | None) -> None:
    """Print the outcome: facts to stdout, what to do next to stderr."""
    if outcome is None:
        typer.echo(f"error: the trainer exited with code {code} and did not report an outcome; see its log above", err=True)
        return
    place = output or (job.spec.output.uri if job.spec.output else "")
    run_folder = runfolder.run_folder(
        place, job.metadata.namespace, job.spec.project, job.metadata.name, job.metadata.uid or runfolder.UID_OF_LOCAL_RUNS
    )
    typer.echo(f"outcome\t{outcome.outcome.value}")
    typer.echo(f"reason\t{outcome.reason.value}")
    typer.echo(f"iteration\t{outcome.progress.iteration} of {outcome.progress.max_iterations}")
    for score in outcome.progress.metrics:
        typer.echo(f"score\t{score.head} {score.name} {score.value:.4f}")
    typer.echo(f"run folder\t{run_folder}")
    if outcome.outcome is Verdict.ERROR:
        typer.echo(f"error: {outcome.message}", err=True)
    elif outcome.outcome is Verdict.STOPPED:
        kept = "nothing was saved yet" if outcome.checkpoint is None else f"iteration {outcome.checkpoint.iteration} is saved"
        typer.echo(f"hint: {kept}; run the same command again to continue from there", err=True)
    if code == ExitCode.RETRY:
        typer.echo("hint: retrying may work; it continues from the latest checkpoint", err=True)
