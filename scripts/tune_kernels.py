"""Check, tune and time the products of 16-bit inputs with packed weights on one GPU, in one go.

    python scripts/tune_kernels.py --out results/ [--kernels int4/128,mxfp4/32] [--minutes 4]

Every candidate is compared with float32 before it is timed. Times are medians of CUDA-graph
replays over weights that together do not fit the L2 cache. ``winners.json`` is what
``qbench/kernels/gemm/tuned/`` holds, with what was fastest now in it; ``rows.json`` has every
candidate's time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import torch
from msgspec.structs import asdict, replace
from torch import Tensor

from qbench.kernels.gemm.multiply import multiply
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.weight_only.launch import dequantized
from qbench.kernels.gemm.weight_only.packing import pack_weight
from qbench.kernels.gemm.weight_only.tuning import Config, Entry, gpu_of, table_of
from qbench.kernels.gemm.workspace import PARTS
from qbench.kernels.reference import quantize
from qbench.kernels.schemes import Scheme

SHAPES = {
    "8B qkv": (6144, 4096),
    "8B o": (4096, 4096),
    "8B gate_up": (28672, 4096),
    "8B down": (4096, 14336),
    "70B qkv": (10240, 8192),
    "70B o": (8192, 8192),
    "70B gate_up": (57344, 8192),
    "70B down": (8192, 28672),
    "32B qkv": (10240, 5120),
    "32B o": (5120, 8192),
    "32B gate_up": (51200, 5120),
    "32B down": (5120, 25600),
}
SCHEMES = {
    "int4/128": Scheme(element="int4", strategy="group", group=128),
    "mxfp4/32": Scheme(element="e2m1", strategy="group", group=32, scale_dtype="e8m0"),
    "nvfp4/16": Scheme(element="e2m1", strategy="group", group=16, scale_dtype="e4m3"),
    "int8/channel": Scheme(element="int8", strategy="channel"),
    "int4z/128": Scheme(element="int4", strategy="group", group=128, symmetric=False),
    "int3/128": Scheme(element="int3", strategy="group", group=128),
    "int2/128": Scheme(element="int2", strategy="group", group=128),
}
TOKENS = (1, 16, 32, 64, 128, 256, 512, 1024, 4096)
BEYOND_L2 = 200 << 20
REPLAYS = 7


# What came within 2 % of the fastest anywhere when some 300 layouts were tried, and its neighbours.
FEW = [(16, 4, 4, 4), (16, 4, 8, 3), (16, 2, 4, 3), (16, 2, 4, 4), (16, 4, 8, 4), (16, 4, 4, 3)]
FEW += [(32, 4, 4, 3), (32, 4, 4, 4), (32, 2, 4, 3), (16, 8, 8, 3), (16, 8, 8, 4), (32, 8, 8, 3)]
"""Up to 16 rows, warps share the columns: outputs, warps, shares, stages."""
FEW_SPLIT = [(64, 1, 3), (64, 1, 4), (64, 2, 3), (64, 2, 4), (64, 4, 3), (64, 4, 4), (64, 8, 3)]
FEW_SPLIT += [(64, 8, 4), (128, 2, 3), (128, 4, 3), (128, 8, 3)]
"""Up to 16 rows, programs share the columns: outputs, splits, stages."""
SPLIT = [(64, 1, 3), (64, 2, 3), (64, 4, 3), (64, 8, 3), (64, 2, 2), (64, 4, 2)]
SPLIT += [(128, 1, 3), (128, 2, 3), (128, 4, 3), (128, 4, 2)]
"""More rows: outputs, splits, stages."""
WIDE = [
    (64, 64, 4, 3, 1),
    (64, 64, 4, 2, 1),
    (64, 64, 4, 3, 2),
    (64, 64, 4, 2, 2),
    (128, 64, 4, 3, 2),
]
WIDE += [(64, 128, 4, 3, 2), (64, 128, 4, 2, 2), (128, 128, 8, 3, 2), (128, 256, 8, 3, 2)]
"""Outputs, rows, warps, stages, parts."""


def candidates(m: int) -> Iterator[Config]:
    """Yield what may be fastest for ``m`` rows of inputs."""
    block = 8 if m <= 8 else min(m, 64)
    if m <= 16:
        for tall, warps, shares, stages in FEW:
            yield Config("narrow", tall, block, warps, stages, shares=shares)
        for tall, split, stages in FEW_SPLIT:
            yield Config("narrow", tall, block, 4, stages, split=split)
    elif m <= 256:
        for tall, split, stages in SPLIT:
            yield Config("narrow", tall, block, 4, stages, split=split)
            if m > block:
                yield Config("narrow", tall, 2 * block, 4, stages, split=split)
    for tall, rows, warps, stages, parts in WIDE if m >= 32 else ():
        if rows <= max(m, 64) and (m <= 512 or rows >= 128):
            yield Config("wide", tall, rows, warps, stages, parts=parts, fold=parts > 1)
    if m >= 256:
        yield Config("unpack")


def packed(kernel: str, n: int, k: int) -> PackedWeight:
    """Return a random weight (n, k)."""
    return pack_weight(quantize(torch.randn(n, k, device="cuda") / k**0.5, SCHEMES[kernel]))


def compiled(work: tuple[str, list[tuple[int, Config]]]) -> list[str]:
    """Compile candidates in a process of its own, which leaves them in Triton's cache."""
    kernel, configs = work
    weight, failed = packed(kernel, 1024, 4096), []
    for m, config in configs:
        try:
            multiply(
                torch.randn(m, 4096, device="cuda", dtype=torch.bfloat16), weight, config=config
            )
        except Exception as error:  # noqa: BLE001 # a candidate that does not fit the GPU
            failed.append(f"{kernel} {config}: {error!r}"[:200])
    torch.cuda.synchronize()
    return failed


def replayed(calls: list[Callable[[], object]]) -> float:
    """Return microseconds of a call: the median of replays of a graph of all."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        calls[0]()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for call in calls:
                call()
        graph.replay()
        times = []
        for _ in range(REPLAYS):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record(stream)
            graph.replay()
            end.record(stream)
            stream.synchronize()
            times.append(start.elapsed_time(end) * 1e3 / len(calls))
    return statistics.median(times)


def copies(weight: PackedWeight) -> list[PackedWeight]:
    """Return as many copies as do not fit the cache."""

    def again(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.clone()

    count = max(2, -(-BEYOND_L2 // weight.bytes))
    made = [weight]
    for _ in range(count - 1):
        own = {name: again(getattr(weight, name)) for name in ("codes", "high", "scale", "zero")}
        made.append(replace(weight, **own))
    return made


def baseline(n: int, k: int) -> dict[int, float]:
    """Return microseconds of bf16 products by rows of inputs."""
    count = max(2, -(-BEYOND_L2 // (2 * n * k)))
    weights = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) for _ in range(count)]
    found = {}
    for m in TOKENS:
        x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
        rounds = max(count, min(40, int(4e11 / (m * n * k))), 3)
        found[m] = replayed([partial(torch.mm, x, weights[i % count].t()) for i in range(rounds)])
    return found


def tuned(kernel: str, n: int, k: int, bf16: dict[int, float]) -> Iterator[dict[str, object]]:
    """Yield a row for every candidate of a shape, checked first."""
    weights = copies(packed(kernel, n, k))
    exact = dequantized(weights[0], torch.bfloat16).float()
    for m in TOKENS:
        x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
        wanted = x.float() @ exact.t()
        for config in candidates(m):
            if config.split > 1 and config.split * m * n > PARTS:
                continue
            try:
                found = multiply(x, weights[0], config=config).float()
                error = float((found - wanted).norm() / wanted.norm())
                rounds = max(len(weights), min(40, int(4e11 / (m * n * k))), 3)
                calls = [
                    partial(multiply, x, weights[i % len(weights)], config=config)
                    for i in range(rounds)
                ]
                micros = replayed(calls) if error < 0.01 else float("inf")
            except Exception as problem:  # noqa: BLE001
                print("failed", kernel, n, k, m, config, repr(problem)[:160], flush=True)
                continue
            yield {
                "kernel": kernel, "n": n, "k": k, "m": m, "config": asdict(config),
                "us": micros, "bf16": bf16[m], "error": error, "bytes": weights[0].bytes,
            }  # fmt: skip


def with_the_rest(winners: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
    """Return the table of this GPU, or the H100's, with ``winners`` in it."""
    made: dict[str, list[Entry]] = {}
    known = table_of(gpu_of(torch.device("cuda")))
    for kernel in dict.fromkeys((*known, *winners)):
        every = (*known.get(kernel, ()), *winners.get(kernel, ()))
        made[kernel] = list({(entry.n, entry.k, entry.m): entry for entry in every}.values())
    return made


def main() -> None:
    """Check, tune and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kernels", default=",".join(SCHEMES))
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    kernels, start = options.kernels.split(","), time.monotonic()
    work: list[tuple[str, list[tuple[int, Config]]]] = []
    for kernel in kernels:
        every = list(dict.fromkeys((m, c) for m in TOKENS for c in candidates(m)))
        work += [(kernel, every[i::4]) for i in range(4)]
    with ProcessPoolExecutor(16, mp_context=multiprocessing.get_context("spawn")) as pool:
        failed = list(itertools.chain.from_iterable(pool.map(compiled, work)))
    print(f"compiled in {time.monotonic() - start:.0f} s", len(failed), *failed[:4], sep="\n")
    rows: list[dict[str, object]] = []
    bf16 = {size: baseline(*size) for size in SHAPES.values()}
    print(f"bf16 at {time.monotonic() - start:.0f} s", flush=True)
    winners: dict[str, list[Entry]] = {}
    for kernel in kernels:
        for name, size in SHAPES.items():
            if time.monotonic() - start > 60 * options.minutes:
                break
            torch.cuda.empty_cache()
            own = list(tuned(kernel, *size, bf16[size]))
            rows += own
            line = f"{kernel} {name}"
            for m in TOKENS:
                best = min((r for r in own if r["m"] == m), key=lambda r: r["us"], default=None)
                if best:
                    config = Config(**best["config"])
                    winners.setdefault(kernel, []).append(Entry(*size, max(m, 8), config))
                    ratio = best["bf16"] / best["us"]
                    line += f" | {m}: {best['us']:.1f} {ratio:.2f}x {config.program[0]}"
            print(
                line,
                f"worst {max(r['error'] for r in own):.4f} t{time.monotonic() - start:.0f}",
                flush=True,
            )
        options.out.mkdir(exist_ok=True, parents=True)
        (options.out / "winners.json").write_bytes(msgspec.json.encode(with_the_rest(winners)))
        (options.out / "rows.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
