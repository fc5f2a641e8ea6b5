"""Checkpoints: taken in tens of milliseconds, written in the background, complete or absent, validated when read.

    checkpoints/<iteration>/network.safetensors     weights and buffers
                            ema.safetensors         their averages, if averaging is on
                            optimizer.safetensors   "<parameter>/<quantity>"
                            state.json              CheckpointState

A folder is written under a temporary name, state.json last, flushed to disk and renamed, so a folder with its final name is
complete. No generator state is stored, because all random numbers of an iteration depend only on the job's seed and the iteration
(step.py).
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import torch
from pydantic import Field, PlainSerializer, TypeAdapter, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from headrace_api import runfolder
from headrace_api.errors import FatalError, RetryableError
from headrace_api.fields import Model
from headrace_api.first_few import first_few
from headrace_api.heads import HEAD_FIELDS, Head
from headrace_api.names import Reason
from headrace_api.training import Training
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.protocol import Saved
from headrace_trainer.worker import optimizer as optimizers
from headrace_trainer.worker.ema import AveragedNetwork
from headrace_trainer.worker.full_disk import naming_a_full_disk
from headrace_trainer.worker.history import History, SeriesOfMeans
from headrace_trainer.worker.messages import Messages

STATE: Final = "state.json"
NETWORK: Final = "network.safetensors"
EMA: Final = "ema.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"


_AFRESH: Final = "submit the job under another name or output to start over"

_MAY_CHANGE: Final = {"max_iterations", "max_training_hours", "evaluate_every", "checkpoint_every"}
"""Training settings that say how long and how often, not what is learnt."""


_MAY_CHANGE_OF_A_HEAD: Final[dict[str, Any]] = {"annotations": True, **{field: {"max_detections"} for field in HEAD_FIELDS}}
"""The layer may be renamed, because labels are compared themselves; the maximum number of detections does not affect learning."""


class Best(Model):
    """The best evaluation so far."""

    iteration: int
    score: float
    """Mean of the heads' primary scores."""


class CheckpointState(Model):
    """What a checkpoint stores besides tensors."""

    version: Literal[1] = 1
    iteration: int
    """Iterations done, over all attempts."""
    trained_seconds: float
    """Seconds of training, over all attempts."""
    best: Best | None
    labels: dict[str, Annotated[LabelSpace, PlainSerializer(LabelSpace.to_json)]]
    """Label space of every head: weights for other labels could fit in shape but would mean something else."""
    training: Training
    """The settings so far: moments, averages and the order of images can only continue under the same ones."""
    heads: tuple[Head, ...] = ()
    """The job's own descriptions: a head that reads another level could fit in shape too."""
    frozen_levels: int = 0
    """The backbone's frozen levels: frozen parameters have no moments to resume from."""
    history: History = Field(default_factory=History)
    """Losses and scores so far, for the curves at the end."""
    owes_evaluation: bool = False
    """Whether these weights still need an evaluation, which `best` and `history` lack: a resumed attempt starts with it."""

    @model_validator(mode="before")
    @classmethod
    def _history_of_older_version(cls, stored: Any) -> Any:
        """Older versions stored the means of losses and scores only. Raises ValueError if they make no sense."""
        match stored:
            case {"history": dict(history), "iteration": int(iteration), "trainedSeconds": int() | float() as seconds}:
                each = seconds / max(1, iteration)
                return stored | {"history": {name: _completed(series, each) for name, series in history.items()}}
        return stored


def _completed(series: Any, seconds_per_iteration: float) -> Any:
    if not isinstance(series, dict) or "values" not in series:
        return series
    return asdict(TypeAdapter(SeriesOfMeans).validate_python(series).completed(seconds_per_iteration))


TensorFiles = Mapping[str, Mapping[str, Tensor]]
"""Tensors by name, by file name."""


def tensor_files(
    network: nn.Module, averaged: AveragedNetwork | None, optimizer: torch.optim.Optimizer
) -> dict[str, dict[str, Tensor]]:
    """The live tensors that go into a checkpoint."""
    files = {NETWORK: dict(network.state_dict()), OPTIMIZER: optimizers.state_tensors(optimizer, network)}
    if averaged is not None:
        files[EMA] = dict(averaged.network.state_dict())
    return files


class CheckpointWriter:
    """Writes checkpoints into `<output>/checkpoints/` from its own thread, one at a time, and sends Saved for each.

    Write errors surface at the next `save`, `poll` or `wait`: a full disk as RetryableError(DISK_FULL), others unchanged.
    """

    def __init__(self, output: Path, messages: Messages) -> None:
        self._output = output
        self._messages = messages
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self.newest: int | None = None
        """Iteration of the last checkpoint passed to `save`."""
        self._host: dict[str, dict[str, Tensor]] = {}

    def save(self, files: TensorFiles, state: CheckpointState, best: bool) -> None:
        """Copy `files` to host memory and return; the copy is written in the background. Waits for a previous write to finish."""
        self.wait()
        self._copy_to_host(files)
        self.newest = state.iteration
        self._writing = self._thread.submit(self._write, state, best)

    def announce_best(self, iteration: int) -> None:
        """Report that a checkpoint this writer has already written turned out to be the best."""
        self.wait()
        self._say_saved(iteration, best=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True)

    def poll(self) -> None:
        """Raise the error of a finished write, if any."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Return once nothing is being written."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        writing.result()

    def _copy_to_host(self, files: TensorFiles) -> None:
        """Fill the host copies, which are allocated once: allocating costs several times as much as copying."""
        pinned = any(tensor.is_cuda for tensors in files.values() for tensor in tensors.values())
        for file, tensors in files.items():
            host = self._host.setdefault(file, {})
            for name, tensor in tensors.items():
                if name not in host:
                    # Contiguous even if the original is channels_last: safetensors requires it.
                    host[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
                host[name].copy_(tensor, non_blocking=True)
        if pinned:
            torch.cuda.synchronize()

    def _write(self, state: CheckpointState, best: bool) -> None:
        with naming_a_full_disk(f"the checkpoint of iteration {state.iteration}"):
            self._write_files(state)
        self._say_saved(state.iteration, best)

    def _write_files(self, state: CheckpointState) -> None:
        final = self._output / runfolder.checkpoint(state.iteration)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        try:
            for file, tensors in self._host.items():
                save_file(tensors, temporary / file)
                _flush(temporary / file)
            (temporary / STATE).write_text(state.model_dump_json(by_alias=True) + "\n")
            _flush(temporary / STATE)
            _flush(temporary)
            _put_in_place(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _say_saved(self, iteration: int, best: bool) -> None:
        self._messages.send(Saved(iteration=iteration, folder=Path(runfolder.checkpoint(iteration)), best=best))


def _put_in_place(temporary: Path, final: Path) -> None:
    """Rename a complete folder to its final name, replacing one that an earlier attempt may have left in the same output."""
    superseded = temporary.with_name(temporary.name + "-superseded")
    if final.exists():
        final.rename(superseded)
    temporary.rename(final)
    _flush(final.parent)
    shutil.rmtree(superseded, ignore_errors=True)


def _flush(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_checkpoint(
    folder: Path,
    network: nn.Module,
    averaged: AveragedNetwork | None,
    optimizer: torch.optim.Optimizer,
    *,
    labels: Mapping[str, LabelSpace],
    training: Training,
    heads: Sequence[Head] = (),
    frozen_levels: int = 0,
) -> CheckpointState:
    """Load the checkpoint in `folder` into network, average and optimizer.

    Changes nothing unless all of it fits. Raises FatalError(BAD_MODEL) if network, labels or training settings differ, naming the
    difference, and RetryableError(BAD_CHECKPOINT) if the files themselves cannot be read as a checkpoint.
    """
    # 1. The state first, because the settings decide which files exist.
    try:
        state = CheckpointState.model_validate_json((folder / STATE).read_bytes())
    except OSError as error:
        raise _damaged(folder, error) from error
    except ValidationError as error:
        raise _damaged(folder, f"{STATE}: {wrong_fields_in_words(error, CheckpointState)}") from error
    _check_training(folder.name, state.training, training)
    if state.frozen_levels != frozen_levels:
        difference = f"backbone.frozenLevels is {state.frozen_levels} there and {frozen_levels} in this job"
        raise _of_another_network(folder.name, difference)
    _check_labels(folder.name, state.labels, labels)
    # 2. The tensors.
    names = [NETWORK, OPTIMIZER] if averaged is None else [NETWORK, OPTIMIZER, EMA]
    try:
        files = {name: load_file(folder / name) for name in names}
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, error) from error
    _check_fits(folder.name, NETWORK, files[NETWORK], network.state_dict())
    if averaged is not None:
        _check_fits(folder.name, EMA, files[EMA], averaged.network.state_dict())
    _check_heads(folder.name, state.heads, heads)
    # 3. Load all: first the optimizer's state, which is checked on loading, then the rest, which is known to fit.
    try:
        optimizers.load_state_tensors(optimizer, network, files[OPTIMIZER])
    except ValueError as error:
        raise _of_another_network(folder.name, f"{OPTIMIZER}: {error}") from error
    network.load_state_dict(files[NETWORK])
    if averaged is not None:
        averaged.network.load_state_dict(files[EMA])
    return state


def _damaged(folder: Path, why: object) -> RetryableError:
    return RetryableError(Reason.BAD_CHECKPOINT, f"checkpoint {folder.name} cannot be read: {why}")


def _of_another_network(checkpoint: str, difference: str) -> FatalError:
    return FatalError(Reason.BAD_MODEL, f"checkpoint {checkpoint} does not fit this network: {difference}; {_AFRESH}")


def _check_training(checkpoint: str, saved: Training, wanted: Training) -> None:
    _refuse(checkpoint, list(_differences("training.", _what_is_learnt(saved), _what_is_learnt(wanted))))


def _refuse(checkpoint: str, differences: Sequence[str]) -> None:
    if differences:
        raise FatalError(
            Reason.BAD_MODEL,
            f"checkpoint {checkpoint} was trained with different settings: {'; '.join(differences)}; restore them, or {_AFRESH}",
        )


def _check_heads(checkpoint: str, saved: Sequence[Head], wanted: Sequence[Head]) -> None:
    """Compare heads whose tensors fit: loss weights, levels and everything else that shapes do not show."""
    there, here = ({head.name: _without_what_is_free(head) for head in heads} for heads in (saved, wanted))
    both = [name for name in here if name in there]
    _refuse(checkpoint, [line for name in both for line in _differences(f"head '{name}': ", there[name], here[name])])


def _without_what_is_free(head: Head) -> Any:
    return head.model_dump(mode="json", by_alias=True, exclude=_MAY_CHANGE_OF_A_HEAD)


def _what_is_learnt(training: Training) -> Any:
    """The settings that must not change between attempts, as in the manifest."""
    return training.model_dump(mode="json", by_alias=True, exclude=_MAY_CHANGE)


def _differences(path: str, saved: Any, wanted: Any) -> Iterator[str]:
    """The innermost differing fields, each after `path`; if one side lacks a part (adamw, sgd), the field that contains it."""
    parts = isinstance(saved, dict) and isinstance(wanted, dict)
    if parts and all((saved[key] is None) == (wanted[key] is None) for key in wanted):
        for key in wanted:
            yield from _differences(f"{path}{key}.", saved[key], wanted[key])
    elif saved != wanted:
        yield f"{path.rstrip('.: ')} is {json.dumps(saved)} there and {json.dumps(wanted)} in this job"


def _check_labels(checkpoint: str, saved: Mapping[str, LabelSpace], wanted: Mapping[str, LabelSpace]) -> None:
    for head in sorted(saved.keys() | wanted.keys()):
        if saved.get(head) != wanted.get(head):
            there, here = _words(saved.get(head)), _words(wanted.get(head))
            same = ", described differently," if there == here else ""
            raise _of_another_network(checkpoint, f"head '{head}' has {there} there{same} and {here} in this job")


def _words(labels: LabelSpace | None) -> str:
    return "no entry" if labels is None else labels.described


def _check_fits(checkpoint: str, file: str, saved: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    differences = [
        f"{name} is {_shape(saved.get(name))} there and {_shape(wanted.get(name))} in this job"
        for name in (*wanted, *(saved.keys() - wanted.keys()))
        if _shape(saved.get(name)) != _shape(wanted.get(name))
    ]
    if differences:
        raise _of_another_network(checkpoint, f"{file}: {first_few(differences, 1, '; ')}")


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else str(list(tensor.shape))
