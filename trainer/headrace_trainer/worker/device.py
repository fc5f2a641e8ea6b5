"""Where a worker computes, and with how many threads."""

import torch


def choose_device(gpus: int) -> torch.device:
    """The first GPU where the job has one and CUDA sees it, else the CPU."""
    return torch.device("cuda", 0) if gpus > 0 and torch.cuda.is_available() else torch.device("cpu")


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
