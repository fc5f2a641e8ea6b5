from pathlib import Path

import pytest
import torch

from headrace_trainer.worker.precision import compute_dtype, hardware_computes_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        pytest.param("fpu avx2 fma", False, id="AVX2 alone emulates bfloat16"),
        pytest.param("fpu avx512f avx512_bf16", True, id="AVX-512 with BF16"),
        pytest.param("fpu amx_bf16 amx_tile", True, id="AMX"),
        pytest.param("fpu avx512_bf16_lookalike", False, id="a flag with the same beginning"),
    ],
)
def test_the_cpu_uses_bfloat16_if_its_flags_say_so(tmp_path: Path, flags: str, want: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    assert hardware_computes_bfloat16(CPU, cpuinfo) is want


def test_without_cpuinfo_the_cpu_is_not_trusted_with_bfloat16(tmp_path: Path) -> None:
    assert hardware_computes_bfloat16(CPU, tmp_path / "missing") is False


@pytest.mark.parametrize(("capability", "want"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)])
def test_auto_takes_bfloat16_on_gpus_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], want: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert compute_dtype("auto", torch.device("cuda", 0)) is want


def test_a_requested_precision_is_used_whatever_the_hardware() -> None:
    assert compute_dtype("bfloat16", CPU) is torch.bfloat16
    assert compute_dtype("float32", torch.device("cuda", 0)) is torch.float32
