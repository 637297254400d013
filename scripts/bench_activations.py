"""Time the activation programs on this machine's GPU: microseconds, and times what bytes take.

Medians (smallest to largest) of replays of a CUDA graph over buffers that no cache holds, with
random numbers. The bytes a program must read and write once, at the rate of a copy of 512 MiB in
the same call, are 1.00. Few tokens are bound by the start of a program, not by bytes: the copy of
as many bytes stands beside them.

    python scripts/bench_activations.py --tokens 1,256,4096 --columns 4096,14336
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl

from qbench.kernels.activation import fourbits, gating, norms, quantizing, rotating
from qbench.kernels.formats import FORMATS

CACHES = 400e6
"""Bytes that calls of one graph go through: eight times an H100's L2."""
REPLAYS = 12
EPSILON = 1e-5
Call = Callable[[int], Any]


@triton.jit
def _copy(x, y, size, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202, N803
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < size), mask=at < size)


def copy(x: torch.Tensor, y: torch.Tensor) -> None:
    """Copy ``x`` to ``y``."""
    _copy[(triton.cdiv(x.numel(), 4096),)](x, y, x.numel(), 4096, num_warps=4)


def timed(call: Call, calls: int) -> list[float]:
    """Return sorted microseconds of one call, from replays of ``calls`` with other buffers each."""
    for i in range(2):
        call(i % calls)
    torch.cuda.synchronize()
    graph, kept = torch.cuda.CUDAGraph(), []
    with torch.cuda.graph(graph):
        kept = [call(i) for i in range(calls)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(REPLAYS + 3)]
    for event in events:
        event.record()
        graph.replay()
    torch.cuda.synchronize()
    del kept
    pairs = itertools.pairwise(events[2:])  # what came before warmed up
    return sorted(1e3 * begin.elapsed_time(end) / calls for begin, end in pairs)


def numbers(tokens: int, columns: int, calls: int) -> list[torch.Tensor]:
    """Return bfloat16 inputs, one for each call."""
    return [torch.randn(tokens, columns, device="cuda").bfloat16() for _ in range(calls)]


def copied(moved: float, calls: int) -> Call:
    """Return calls that read and write half of ``moved`` bytes each."""
    there = numbers(1, max(int(moved / 4), 1), calls)
    here = [torch.empty_like(t) for t in there]
    return lambda i: copy(there[i], here[i])


def programs(tokens: int, columns: int) -> dict[str, tuple[float, Call, int]]:
    """Return bytes per input value, a call and how many there are, by name."""
    calls = min(max(2, int(CACHES / (3 * tokens * columns)) + 1), 64)
    x, gain = numbers(tokens, columns, calls), numbers(1, columns, 1)[0][0]
    both = numbers(tokens, 2 * columns, calls) if columns <= 1 << 14 else []
    made: dict[str, tuple[float, Call]] = {
        "copy": (3, copied(3 * tokens * columns, calls)),
        "rotate, e4m3": (3, lambda i: rotating.rotate_quantize(x[i], 128, "e4m3")),
        "rotate, int8": (3, lambda i: rotating.rotate_quantize(x[i], 128, "int8")),
        "tokens, e4m3": (3, lambda i: quantizing.quantize_tokens(x[i], "e4m3")),
        "groups": (3, lambda i: quantizing.quantize_groups(x[i])),
        "add, norm": (7, lambda i: norms.norm_quantize(x[i], gain, EPSILON, "e4m3", x[i - 1])),
    }
    if both:
        made["silu"] = (5, lambda i: gating.silu_quantize(both[i], "e4m3"))
    for name in ("mxfp4", "nvfp4", "int4-mr"):
        made[f"rotate, {name}"] = (4, _rounding(x, name))
    return {name: (size, call, calls) for name, (size, call) in made.items()}


def _rounding(x: list[torch.Tensor], name: str) -> Call:
    scheme = FORMATS[name].activations
    if scheme is None:
        raise ValueError(name)
    return lambda i: fourbits.rotate_round(x[i], 128, scheme)


def main() -> None:
    """Print a line for each program and shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", default="1,16,256,4096,8192")
    parser.add_argument("--columns", default="4096,8192,14336,28672")
    given = parser.parse_args()
    size = 1 << 29
    rate = size * 2 / statistics.median(timed(copied(2 * size, 2), 2))
    print(f"{torch.cuda.get_device_name()}: a copy moves {rate / 1e6:.3f} TB/s")
    for columns in map(int, given.columns.split(",")):
        for tokens in map(int, given.tokens.split(",")):
            for name, (each, call, calls) in programs(tokens, columns).items():
                times = timed(call, calls)
                median, floor = statistics.median(times), each * tokens * columns / rate
                spread = f"{times[0]:.2f} to {times[-1]:.2f}"
                print(f"{columns:6} {tokens:5} {name:16} {median:8.2f} us ({spread})", end="  ")
                print(f"{median / floor:.2f}")


if __name__ == "__main__":
    main()
