"""Check, tune and time the products with 8-bit inputs on one GPU, in one go.

    python scripts/tune_scaled.py check sweep table --out results/

``check`` compares every candidate with float64 on fresh inputs and odd shapes, ``sweep`` times the
candidates and writes the winners (the file that ``qbench/kernels/gemm/tuned/`` holds), ``table``
times the winners beside cuBLAS in bf16, ``torch._scaled_mm`` and ``torch._int_mm``. Times are
medians of CUDA-graph replays over weights that together do not fit the L2 cache.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from msgspec.structs import replace
from scaled_layouts import candidates
from torch import Tensor

from qbench.kernels.formats import FORMATS
from qbench.kernels.gemm.packed import PackedWeight
from qbench.kernels.gemm.scaled.configs import Config, Narrow, Wide, Winner
from qbench.kernels.gemm.scaled.launch import multiply_scaled, run
from qbench.kernels.gemm.scaled.packing import pack_bytes, unpacked_bytes
from qbench.kernels.reference import Quantized, dequantize, quantize

SHAPES = {
    "8B qkv": (6144, 4096),
    "8B o": (4096, 4096),
    "8B up": (28672, 4096),
    "8B down": (4096, 14336),
    "70B qkv": (10240, 8192),
    "70B o": (8192, 8192),
    "70B up": (57344, 8192),
    "70B down": (8192, 28672),
    "32B qkv": (10240, 5120),
    "32B o": (5120, 8192),
    "32B up": (51200, 5120),
    "32B down": (5120, 25600),
}
FORMAT_NAMES = ["fp8", "w8a8", "fp8-block", "w4a8"]
MS = [1, 16, 64, 256, 1024, 2048, 4096, 8192]
TUNED = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
BEYOND_L2 = 160 << 20
ROUNDS = 7
Winners = dict[str, list[Winner]]
Call = Callable[[int], object]
"""Multiplies by the i-th copy of a weight."""


def made(name: str, n: int, k: int) -> tuple[Quantized, PackedWeight]:
    """Return random codes and scales of a weight (n, k), made where they are needed."""
    form = FORMATS[name]
    values = torch.randn(n, k, device="cuda")
    quantized = quantize(values, form.weights)
    return quantized, pack_bytes(quantized, form.activations)


def inputs(name: str, m: int, k: int) -> tuple[Tensor, Tensor]:
    """Return codes and scales of ``m`` random inputs."""
    found = quantize(torch.randn(m, k, device="cuda"), FORMATS[name].activations)
    return found.codes, found.step


def median_us(call: Call, copies: int, expected: float) -> float:
    """Return the median microseconds of ``call(i)`` for i in rotation, from graph replays."""
    return statistics.median(times_us({"": (call, copies)}, expected)[""])


def times_us(calls: dict[str, tuple[Call, int]], expected: float) -> dict[str, list[float]]:
    """Return microseconds by name; replays take turns, so that all meet the same clocks.

    ``expected`` seconds of a call, roughly: a graph holds at least a millisecond of them.
    """
    graphs = {name: captured(*call, expected) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, (graph, count) in graphs.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            times[name].append(begin.elapsed_time(end) * 1e3 / count)
    return times


def captured(call: Call, copies: int, expected: float) -> tuple[torch.cuda.CUDAGraph, int]:
    """Return a graph of calls in rotation, replayed once, and how many it holds."""
    for i in range(copies):
        call(i)
    torch.cuda.synchronize()
    count = copies * max(1, math.ceil(1e-3 / expected / copies))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(count):
            call(i % copies)
    graph.replay()
    torch.cuda.synchronize()
    return graph, count


def roof(m: int, n: int, k: int, bits: int) -> float:
    """Return about how many seconds a product takes at best."""
    return 3e-6 + max(n * k * bits / 8 / 3e12, 2 * m * n * k / 1e16 * bits)


def rotated(weight: PackedWeight) -> list[PackedWeight]:
    """Return copies of a weight that together do not fit the cache."""
    copies = min(16, -(-BEYOND_L2 // weight.bytes))
    return [weight] + [replace(weight, codes=weight.codes.clone()) for _ in range(copies - 1)]


def ours(weights: list[PackedWeight], codes: Tensor, scale: Tensor, config: Config) -> Call:
    """Return what multiplies by the i-th weight."""
    return lambda i: multiply_scaled(codes, scale, weights[i], torch.bfloat16, config)


def _compile(job: tuple[str, int, Config]) -> str | None:
    """Compile one program into the cache by running it on something small."""
    name, m, config = job
    try:
        _, weight = made(name, 512, 4096)
        multiply_scaled(*inputs(name, m, 4096), weight, torch.bfloat16, config)
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 # a candidate that does not fit is left out
        return f"{name} {config}: {type(error).__name__} {str(error)[:120]}"
    return None


def compile_all(jobs: list[tuple[str, int, Config]], workers: int) -> set[tuple[str, int, Config]]:
    """Compile all candidates side by side; return those that run."""
    begin = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        errors = pool.map(_compile, jobs, chunksize=2)
    for error in filter(None, errors):
        print(error)
    print(f"compiled {len(jobs)} in {time.perf_counter() - begin:.0f} s", flush=True)
    return {job for job, error in zip(jobs, errors, strict=True) if error is None}


def check(name: str, config: Config, m: int, n: int, k: int, dtype: torch.dtype) -> float:
    """Return the relative error of a product with fresh inputs; NaN never passes."""
    quantized, weight = made(name, n, k)
    codes, scale = inputs(name, m, k)
    found = torch.full((m, n), float("nan"), dtype=dtype, device="cuda")
    run(codes, scale, weight, found, config)
    activations = Quantized(codes=codes, scale=scale, scheme=FORMATS[name].activations)
    wanted = dequantize(activations, torch.float64) @ dequantize(quantized, torch.float64).t()
    return float((found - wanted).norm() / wanted.norm())


def one_hot(name: str, config: Config, n: int, k: int) -> bool:
    """Return whether inputs with a single one give exactly the weight's columns."""
    _, weight = made(name, n, k)
    columns = torch.randperm(k, device="cuda")[:40]
    values = torch.zeros(40, k, device="cuda")
    values[torch.arange(40, device="cuda"), columns] = 1.0
    kind = torch.int8 if name == "w8a8" else torch.float8_e4m3fn
    scale = torch.ones(40, weight.scale.shape[-1] if name == "fp8-block" else 1, device="cuda")
    found = torch.full((40, n), float("nan"), dtype=torch.bfloat16, device="cuda")
    run(values.to(kind), scale, weight, found, config)
    return torch.equal(found, unpacked_bytes(weight)[:, columns].t().bfloat16())


def check_all(configs: list[tuple[str, int, Config]]) -> list[str]:
    """Return what is wrong with any candidate."""
    wrong = []
    for name, m, config in configs:
        rows = min(m - 9, 300)
        error = check(name, config, rows, 6208, 4096, torch.bfloat16)
        fast = isinstance(config, Wide) and not config.precise and name == "fp8"
        if not error < (8e-3 if fast else 2.5e-3):  # rounding to bfloat16 alone gives 1.7e-3
            wrong.append(f"{name} {rows} {config}: error {error:.2e}")
        if not one_hot(name, config, 6208, 4096):
            wrong.append(f"{name} {config}: one-hot inputs do not give the weight")
    return wrong


def accuracy() -> None:
    """Print what E4M3 sums lose where they are kept in the matrix unit, float32 outputs."""
    for k, precise in itertools.product((4096, 28672), (0, 128)):
        config = Wide(block_m=128, block_n=128, stages=4, precise=precise)
        error = check("fp8", config, 500, 1024, k, torch.float32)
        print(f"fp8 K={k}: sums to float32 every {precise or 'K'} columns: error {error:.2e}")


def sweep(runs: set[tuple[str, int, Config]], out: Path, names: list[str], ms: list[int]) -> None:
    """Time all candidates of all shapes; write every time, and the winners."""
    everything, best = [], {name: [] for name in names}
    for name, (n, k) in itertools.product(names, SHAPES.values()):
        _, weight = made(name, n, k)
        weights = rotated(weight)
        for m in ms:
            codes, scale = inputs(name, m, k)
            calls = {
                config: (ours(weights, codes, scale, config), len(weights))
                for config in candidates(name, m, n, k)
                if (name, m, config) in runs
            }
            timed = timed_in(calls, roof(m, n, k, 8), together=m >= 1024)
            everything += [
                {"kernel": name, "n": n, "k": k, "m": m, "us": us, "config": config}
                for us, config in timed
            ]
            timed.sort(key=lambda pair: pair[0])
            best[name].append(Winner(n=n, k=k, m=m, config=timed[0][1]))
            top = " | ".join(f"{us:.1f} {short(config)}" for us, config in timed[:3])
            print(f"{name} {n}x{k} m={m}: {top}", flush=True)
        (out / "sweep.json").write_bytes(msgspec.json.encode(everything))
        (out / "winners.json").write_bytes(msgspec.json.format(msgspec.json.encode(best)))


def timed_in(
    calls: dict[Config, tuple[Call, int]], expected: float, *, together: bool
) -> list[tuple[float, Config]]:
    """Return microseconds and layouts; ``together``: in turns, where clocks follow the power."""
    if together:
        found = times_us({str(i): call for i, call in enumerate(calls.values())}, expected)
        return list(zip(map(statistics.median, found.values()), calls, strict=True))
    return [(median_us(*call, expected), config) for config, call in calls.items()]


def short(config: Config) -> str:
    """Return a layout in a few characters."""
    size = f"{config.block_m}.{config.block_n}.{config.block_k} w{config.warps} s{config.stages}"
    pdl = f" pdl {config.prefetch}" if config.pdl else ""
    if isinstance(config, Narrow):
        pdl += " late" if config.late else ""
        marks = (" tma" if config.tma else "") + pdl
        return f"narrow {size} /{config.split}{marks}"
    marks = ("f" if config.flatten else "") + (f"h{config.subtiles}" if config.subtiles > 1 else "")
    return f"wide {size} g{config.group_m} {marks} r{config.resident} p{config.precise}{pdl}"


def vendor_calls(m: int, n: int, k: int) -> dict[str, tuple[Call, int]]:
    """Return the vendor's products, by name."""
    copies = max(1, min(16, -(-BEYOND_L2 // (n * k))))
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    ws = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) for _ in range(copies)]
    kind = torch.float8_e4m3fn
    x8, w8s = x.to(kind), [w.to(kind) for w in ws]
    one, sm = torch.ones((), device="cuda"), torch.rand(m, 1, device="cuda")
    sn = torch.rand(1, n, device="cuda")

    def scaled(a: Tensor, b: Tensor, *, fast: bool) -> Call:
        return lambda i: torch._scaled_mm(  # noqa: SLF001 # there is no public name
            x8, w8s[i].t(), scale_a=a, scale_b=b, out_dtype=torch.bfloat16, use_fast_accum=fast
        )

    calls: dict[str, Call] = {
        "bf16": lambda i: torch.mm(x, ws[i].t()),
        "row": scaled(sm, sn, fast=True),
        "row precise": scaled(sm, sn, fast=False),
        "tensor": scaled(one, one, fast=True),
    }
    if m > 16:
        xi = (x * 40).clamp(-127, 127).to(torch.int8)
        wis = [(w * 40).clamp(-127, 127).to(torch.int8) for w in ws]
        calls["int_mm"] = lambda i: torch._int_mm(xi, wis[i].t())  # noqa: SLF001
    return {name: (call, copies) for name, call in calls.items()}


def our_calls(
    weights: dict[str, list[PackedWeight]], m: int, n: int, k: int, best: dict[str, list[Winner]]
) -> dict[str, tuple[Call, int]]:
    """Return our products, by format; those of few inputs with and without dependent launch."""
    calls: dict[str, tuple[Call, int]] = {}
    for name, copies in weights.items():
        known = [w for w in best[name] if (w.n, w.k) == (n, k)]
        config = min(known, key=lambda w: abs(math.log2(max(m, 16) / w.m))).config
        codes, scale = inputs(name, m, k)
        calls[name] = (ours(copies, codes, scale, config), len(copies))
        if config.pdl:
            plain = replace(config, pdl=False)
            calls[name + " alone"] = (ours(copies, codes, scale, plain), len(copies))
    return calls


def spread(found: dict[str, list[float]]) -> dict[str, float]:
    """Return how far apart the fastest and the slowest replay were, over the median."""
    return {name: (max(us) - min(us)) / statistics.median(us) for name, us in found.items()}


def table(out: Path, names: list[str], best: dict[str, list[Winner]]) -> None:
    """Time the winners beside the vendor's products; print and write one row a shape."""
    rows = []
    for label, (n, k) in SHAPES.items():
        weights = {name: rotated(made(name, n, k)[1]) for name in names}
        for m in MS:
            calls = vendor_calls(m, n, k) | our_calls(weights, m, n, k, best)
            found = times_us(calls, roof(m, n, k, 8))
            times = {name: statistics.median(each) for name, each in found.items()}
            rows.append({"shape": label, "n": n, "k": k, "m": m, **times, "spread": spread(found)})
            numbers = " ".join(
                f"{name} {us:.1f} x{times['bf16'] / us:.2f}" for name, us in times.items()
            )
            print(f"{label} m={m}: {numbers}", flush=True)
        (out / "table.json").write_text(json.dumps(rows))
        weights.clear()


def merged(files: list[Path]) -> dict[str, list[Winner]]:
    """Return the winners of all files by format; later files count first."""
    found: dict[str, dict[tuple[int, int, int], Winner]] = {}
    for file in files:
        for name, rows in msgspec.json.decode(file.read_bytes(), type=Winners).items():
            found.setdefault(name, {}).update({(row.n, row.k, row.m): row for row in rows})
    return {name: list(rows.values()) for name, rows in found.items()}


def main() -> None:
    """Do what the words on the command line say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="+", choices=["check", "sweep", "table"])
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--formats", default=",".join(FORMAT_NAMES))
    parser.add_argument("--models", default="8B,70B,32B", help="whose shapes")
    parser.add_argument("--ms", default=",".join(map(str, TUNED)))
    parser.add_argument("--winners", type=Path, nargs="*", help="later files count first")
    parser.add_argument("--workers", type=int, default=14)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names, ms = options.formats.split(","), [int(m) for m in options.ms.split(",")]
    for label in [label for label in SHAPES if label.split()[0] not in options.models.split(",")]:
        del SHAPES[label]
    jobs = list(dict.fromkeys(
        (name, m, config) for name in names for n, k in SHAPES.values() for m in ms
        for config in candidates(name, m, n, k)
    ))  # fmt: skip
    runs: set[tuple[str, int, Config]] = set()
    if {"check", "sweep"} & set(options.words):
        runs = compile_all(jobs, options.workers)
    if "check" in options.words:
        begin = time.perf_counter()
        wrong = check_all([job for job in jobs if job in runs])
        print(*wrong[:40], f"{len(wrong)} wrong of {len(runs)}", sep="\n")
        accuracy()
        print(f"checked in {time.perf_counter() - begin:.0f} s", flush=True)
    if "sweep" in options.words:
        sweep(runs, options.out, names, ms)
    if "table" in options.words:
        table(options.out, names, merged(options.winners or [options.out / "winners.json"]))


if __name__ == "__main__":
    sys.exit(main())
