"""Which device a worker computes on, and with how many threads."""

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from headrace_api.errors import RetryableError
from headrace_api.names import Reason
from headrace_api.run import Machine

_NVIDIA_CONTROL: Final = Path("/dev/nvidiactl")
"""Exists if NVIDIA's driver is loaded; in a container, only if it was given a GPU."""
_CPU_INFO: Final = Path("/proc/cpuinfo")


def choose_device(gpus: int, say: Callable[[str], None], control: Path = _NVIDIA_CONTROL) -> torch.device:
    """The first GPU if the job asks for one, else the CPU.

    A job that asks for a GPU on a machine without one (a laptop) trains on the CPU, with a warning to `say`. Raises
    RetryableError(TRAINER_CRASHED) if the driver's device file `control` shows that there is a GPU but CUDA cannot use it: days on
    a CPU are not what the job asked for, and another attempt may work.
    """
    if gpus == 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    reason = _why_no_cuda()
    if control.exists():
        raise RetryableError(Reason.TRAINER_CRASHED, f"this machine has an NVIDIA GPU, but CUDA cannot use it: {reason}")
    say(f"WARNING: the job asks for a GPU but trains on the CPU, many times slower: {reason}")
    return torch.device("cpu")


def _why_no_cuda() -> str:
    """torch's explanation, on one line."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        return " ".join(str(error).split())
    return "torch gives no reason"


def configure(device: torch.device, threads: int) -> None:
    """Set this process up to compute on `device` with `threads` cores.

    Call it once per process, before computing anything. One thread runs operators; `threads` of them share the work inside one.
    """
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Shapes are static, so the search for the fastest convolution runs once per shape.
        torch.backends.cudnn.benchmark = True


def machine(device: torch.device, cpu_info: Path = _CPU_INFO) -> Machine:
    """What this process computes on, and with which torch. `cpu_info` is the kernel's description of the CPU."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return Machine(torch=str(torch.__version__), cuda=torch.version.cuda or "", device=name, gpus=1)
    return Machine(torch=str(torch.__version__), device=_cpu_name(cpu_info))


def _cpu_name(cpu_info: Path) -> str:
    """The model's name, or the architecture on CPUs that do not tell theirs (Arm) and off Linux."""
    try:
        lines = cpu_info.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next((name for name in names if name), platform.machine())


def memory_in_use(device: torch.device) -> int:
    """Peak device memory of tensors so far, in bytes; 0 on the CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def generator_of(device: torch.device) -> torch.Generator:
    """The generator that layers such as dropout use on `device`."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[device.index]
    return torch.default_generator
