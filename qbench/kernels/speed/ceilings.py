"""What a GPU reaches: bytes per second of large copies and sums, operations of large products."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from qbench.kernels.speed.rows import Ceilings

BYTES = 1 << 31
"""Of one side of a copy: forty caches."""
SIDE = 8192
"""Of square matrices: large enough for all of a GPU, and still done in a millisecond."""
REPEATS = 15


def measured_ceilings(device: torch.device, seed: int) -> Ceilings:
    """Measure the ceilings of ``device`` with random numbers; a unit that it lacks has 0."""
    source = torch.Generator(device=device).manual_seed(seed)
    flops = 2 * SIDE**3
    found = {
        "copy": 2 * BYTES / _copying(device, source) / 1e12,
        "read": BYTES / _reading(device, source) / 1e12,
        "bf16": flops / _seconds(_bf16(device, source)) / 1e12,
        "fp8": _rate(lambda: _fp8(device, source), flops),
        "int8": _rate(lambda: _int8(device, source), flops),
    }
    return Ceilings(**{name: float(f"{value:.5g}") for name, value in found.items()})


def _copying(device: torch.device, source: torch.Generator) -> float:
    there = _words(device, source)
    here = torch.empty_like(there)
    return _seconds(lambda: here.copy_(there))


def _reading(device: torch.device, source: torch.Generator) -> float:
    values = _words(device, source).view(torch.float32)
    return _seconds(values.sum)


def _words(device: torch.device, source: torch.Generator) -> torch.Tensor:
    """Return random numbers whose bits are those of numbers near 1."""
    values = torch.empty(BYTES // 4, dtype=torch.float32, device=device)
    return values.uniform_(1, 2, generator=source)


def _matrix(device: torch.device, source: torch.Generator) -> torch.Tensor:
    return torch.randn(SIDE, SIDE, device=device, generator=source)


def _bf16(device: torch.device, source: torch.Generator) -> Callable[[], object]:
    a, b = (_matrix(device, source).bfloat16() for _ in range(2))
    return lambda: torch.mm(a, b.T)


def _fp8(device: torch.device, source: torch.Generator) -> Callable[[], object]:
    a, b = (_matrix(device, source).to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device=device)
    return lambda: torch._scaled_mm(  # noqa: SLF001 - torch's name for it
        a, b.T, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
    )


def _int8(device: torch.device, source: torch.Generator) -> Callable[[], object]:
    a, b = (
        (32 * _matrix(device, source)).round().clamp(-128, 127).to(torch.int8) for _ in range(2)
    )
    return lambda: torch._int_mm(a, b.T)  # noqa: SLF001 - torch's name for it


def _rate(make: Callable[[], Callable[[], object]], flops: int) -> float:
    """Return 10^12 operations per second; 0 where torch has no such product on this GPU."""
    try:
        return flops / _seconds(make()) / 1e12
    except (RuntimeError, NotImplementedError):
        return 0.0


def _seconds(call: Callable[[], object]) -> float:
    """Return the median of ``REPEATS`` calls after three that do not count."""
    for _ in range(3):
        call()
    events = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        for _ in range(REPEATS)
    ]
    for begin, end in events:
        begin.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(float(begin.elapsed_time(end)) for begin, end in events) / 1e3
