"""Checkpoints: taken in tens of milliseconds, written behind the training's back, complete or not there, checked when read.

    checkpoints/<iteration>/network.safetensors     weights and buffers
                            ema.safetensors         averaged ones, where averaging is on
                            optimizer.safetensors   "<parameter>/<quantity>"
                            state.json              CheckpointState

A folder is written under a fresh name, flushed to disk and renamed, state.json last: what bears its final name is complete. No
generator's state is kept, because every random number of an iteration is a function of the job's seed and the iteration (step.py).
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import torch
from pydantic import Field, PlainSerializer, ValidationError
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
from headrace_trainer.worker.history import History
from headrace_trainer.worker.messages import Messages

STATE: Final = "state.json"
NETWORK: Final = "network.safetensors"
EMA: Final = "ema.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"


_AFRESH: Final = "submit it under another name or output to start afresh"

_MAY_CHANGE: Final = {"max_iterations", "max_training_hours", "evaluate_every", "checkpoint_every"}
"""Settings of the training that say how long and how often, not what is learnt."""


_MAY_CHANGE_OF_A_HEAD: Final[dict[str, Any]] = {"annotations": True, **{field: {"max_detections"} for field in HEAD_FIELDS}}
"""The layer may be called otherwise, since labels are compared as such; and how many answers are given is nothing to learn."""


class Best(Model):
    """The evaluation that no earlier one beat."""

    iteration: int
    score: float
    """Mean of the heads' primary scores."""


class CheckpointState(Model):
    """What a checkpoint holds besides tensors."""

    version: Literal[1] = 1
    iteration: int
    """Iterations done, over all attempts."""
    trained_seconds: float
    """Seconds of training, over all attempts."""
    best: Best | None
    labels: dict[str, Annotated[LabelSpace, PlainSerializer(LabelSpace.to_json)]]
    """What the numbers of every head mean: weights of other labels would fit in shape and be wrong in meaning."""
    training: Training
    """How it was trained: moments, averages and the order of images go on from there only as they began."""
    heads: tuple[Head, ...] = ()
    """As the job described them: a head that looks at another level may fit in shape, too."""
    frozen_levels: int = 0
    """Of the backbone: what was frozen has no moments to go on from."""
    history: History = Field(default_factory=History)
    """Losses and scores so far, for the curves at the end."""
    owes_evaluation: bool = False
    """Whether an evaluation of these very weights is due: `best` and `history` do not know of it, so who goes on makes it first."""


TensorFiles = Mapping[str, Mapping[str, Tensor]]
"""Tensors by name, by file name."""


def tensor_files(
    network: nn.Module, averaged: AveragedNetwork | None, optimizer: torch.optim.Optimizer
) -> dict[str, dict[str, Tensor]]:
    """The live tensors that a checkpoint holds."""
    files = {NETWORK: dict(network.state_dict()), OPTIMIZER: optimizers.state_tensors(optimizer, network)}
    if averaged is not None:
        files[EMA] = dict(averaged.network.state_dict())
    return files


class CheckpointWriter:
    """Writes checkpoints into `<output>/checkpoints/` from a thread of its own, one at a time, and says Saved for each.

    Errors of the writing surface at the next `save`, `poll` or `wait`, as RetryableError(DISK_FULL) or as they are.
    """

    def __init__(self, output: Path, messages: Messages) -> None:
        self._output = output
        self._messages = messages
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self.newest: int | None = None
        """Iteration of the last checkpoint that was handed over to be written."""
        self._host: dict[str, dict[str, Tensor]] = {}

    def save(self, files: TensorFiles, state: CheckpointState, best: bool) -> None:
        """Copy `files` to host memory and return; the copy is written meanwhile. Waits for the write before it, if there is one."""
        self.wait()
        self._copy_to_host(files)
        self.newest = state.iteration
        self._writing = self._thread.submit(self._write, state, best)

    def announce_best(self, iteration: int) -> None:
        """Say of a checkpoint that this writer has written that it has turned out the best."""
        self.wait()
        self._say_saved(iteration, best=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True)

    def poll(self) -> None:
        """Raise what went wrong in a write that is over."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Return once nothing is being written."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.result()
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise RetryableError(
                    Reason.DISK_FULL,
                    f"no space to write a checkpoint ({error}): ask for a larger workspace in resources.workspace",
                ) from error
            raise

    def _copy_to_host(self, files: TensorFiles) -> None:
        """Fill the host's copies, which are made once: fresh memory costs several times the copying itself."""
        pinned = any(tensor.is_cuda for tensors in files.values() for tensor in tensors.values())
        for file, tensors in files.items():
            host = self._host.setdefault(file, {})
            for name, tensor in tensors.items():
                if name not in host:
                    # Contiguous whatever the original is (channels_last): that is how safetensors writes.
                    host[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
                host[name].copy_(tensor, non_blocking=True)
        if pinned:
            torch.cuda.synchronize()

    def _write(self, state: CheckpointState, best: bool) -> None:
        final = self._output / runfolder.checkpoint(state.iteration)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        try:
            for file, tensors in self._host.items():
                save_file(tensors, temporary / file)
                _flush(temporary / file)
            (temporary / STATE).write_text(state.model_dump_json(by_alias=True, indent=2) + "\n")
            _flush(temporary / STATE)
            _flush(temporary)
            _put_in_place(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._say_saved(state.iteration, best)

    def _say_saved(self, iteration: int, best: bool) -> None:
        self._messages.send(Saved(iteration=iteration, folder=Path(runfolder.checkpoint(iteration)), best=best))


def _put_in_place(temporary: Path, final: Path) -> None:
    """Rename a complete folder to its final name, instead of one that an earlier attempt may have left in the same output."""
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
    """Put the checkpoint in `folder` into network, average and optimizer.

    Nothing is changed unless all of it fits. Raises FatalError(BAD_MODEL) where it is of another network, of other labels or of a
    training with other settings, naming what differs, and RetryableError(STORAGE_UNAVAILABLE) where it is not complete.
    """
    # 1. What it is of. First, because settings decide which files there are.
    try:
        state = CheckpointState.model_validate_json((folder / STATE).read_bytes())
    except OSError as error:
        raise _incomplete(folder, error) from error
    except ValidationError as error:
        raise _incomplete(folder, f"{STATE}: {wrong_fields_in_words(error, CheckpointState)}") from error
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
        raise _incomplete(folder, error) from error
    _check_fits(folder.name, NETWORK, files[NETWORK], network.state_dict())
    if averaged is not None:
        _check_fits(folder.name, EMA, files[EMA], averaged.network.state_dict())
    _check_heads(folder.name, state.heads, heads)
    # 3. All in: the optimizer's state, which is checked on the way, before the others, which are known to fit.
    try:
        optimizers.load_state_tensors(optimizer, network, files[OPTIMIZER])
    except ValueError as error:
        raise _of_another_network(folder.name, f"{OPTIMIZER}: {error}") from error
    network.load_state_dict(files[NETWORK])
    if averaged is not None:
        averaged.network.load_state_dict(files[EMA])
    return state


def _incomplete(folder: Path, why: object) -> RetryableError:
    return RetryableError(Reason.STORAGE_UNAVAILABLE, f"checkpoint {folder.name} is not complete: {why}")


def _of_another_network(checkpoint: str, difference: str) -> FatalError:
    return FatalError(Reason.BAD_MODEL, f"checkpoint {checkpoint} is of another network: {difference}; {_AFRESH}")


def _check_training(checkpoint: str, saved: Training, wanted: Training) -> None:
    _refuse(checkpoint, list(_differences("training.", _what_is_learnt(saved), _what_is_learnt(wanted))))


def _refuse(checkpoint: str, differences: Sequence[str]) -> None:
    if differences:
        raise FatalError(
            Reason.BAD_MODEL,
            f"checkpoint {checkpoint} was trained with other settings: {'; '.join(differences)}; put that back, or {_AFRESH}",
        )


def _check_heads(checkpoint: str, saved: Sequence[Head], wanted: Sequence[Head]) -> None:
    """Of heads whose tensors fit: their weights, levels and whatever else shapes do not tell."""
    there, here = ({head.name: _without_what_is_free(head) for head in heads} for heads in (saved, wanted))
    both = [name for name in here if name in there]
    _refuse(checkpoint, [line for name in both for line in _differences(f"head '{name}': ", there[name], here[name])])


def _without_what_is_free(head: Head) -> Any:
    return head.model_dump(mode="json", by_alias=True, exclude=_MAY_CHANGE_OF_A_HEAD)


def _what_is_learnt(training: Training) -> Any:
    """The settings that may not change between attempts, as in the manifest."""
    return training.model_dump(mode="json", by_alias=True, exclude=_MAY_CHANGE)


def _differences(path: str, saved: Any, wanted: Any) -> Iterator[str]:
    """The innermost fields that differ, each after `path`. Where one side lacks a part (adamw, sgd), the whole it is a part of."""
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
            same = ", otherwise described," if there == here else ""
            raise _of_another_network(checkpoint, f"head '{head}' has {there} there{same} and {here} in this job")


def _words(labels: LabelSpace | None) -> str:
    return "no place" if labels is None else labels.described


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
