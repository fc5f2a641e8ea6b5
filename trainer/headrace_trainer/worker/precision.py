"""Which number format the network computes in.

bfloat16 only pays off with hardware support: emulated on AVX2 it is many times slower than float32. It has float32's range, so
gradients need no scaling. Weights, losses, optimizer and averages stay float32.
"""

from pathlib import Path
from typing import Literal

import torch

_CPU_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_AMPERE = (8, 0)
"""The first CUDA compute capability whose tensor cores support bfloat16."""


def compute_dtype(precision: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """float32 or bfloat16, the autocast dtype of the forward pass on `device`."""
    if precision == "auto":
        return torch.bfloat16 if hardware_computes_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def hardware_computes_bfloat16(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether `device` has instructions that multiply bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not Linux
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _CPU_FLAGS.isdisjoint(flags.split())
