"""Where a worker computes, and with how many threads."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from headrace_api.errors import RetryableError
from headrace_api.names import Reason

_NVIDIA_CONTROL: Final = Path("/dev/nvidiactl")
"""There where NVIDIA's driver is loaded; a container has it only if it was given a GPU."""


def choose_device(gpus: int, say: Callable[[str], None], control: Path = _NVIDIA_CONTROL) -> torch.device:
    """The first GPU where the job has one, else the CPU.

    A job that asks for a GPU on a machine that has none (a laptop) trains on the CPU, and `say` is told so. Raises
    RetryableError(TRAINER_CRASHED) where the driver's device file `control` shows that there is a GPU and CUDA cannot use it: days
    on a CPU are not what was asked for, and another attempt may do better.
    """
    if gpus == 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    reason = _why_no_cuda()
    if control.exists():
        raise RetryableError(Reason.TRAINER_CRASHED, f"the machine has an NVIDIA GPU that CUDA cannot use: {reason}")
    say(f"WARNING: the job asks for a GPU and trains on the CPU, many times slower: {reason}")
    return torch.device("cpu")


def _why_no_cuda() -> str:
    """What torch says of it, on one line."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # the latter: torch was built without CUDA
        return " ".join(str(error).split())
    return "torch gives no reason"


def configure(device: torch.device, threads: int) -> None:
    """Set this process up to compute on `device` with `threads` cores.

    Once a process, before anything is computed. One thread runs operators; `threads` of them share the work inside one.
    """
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Shapes are static, so the search for the fastest convolution is paid once a shape.
        torch.backends.cudnn.benchmark = True


def memory_in_use(device: torch.device) -> int:
    """Most bytes of device memory that tensors have held so far; 0 on the CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def generator_of(device: torch.device) -> torch.Generator:
    """The generator that layers like dropout draw from on `device`."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[device.index]
    return torch.default_generator
