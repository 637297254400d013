"""Every format in the embedded engine on this machine: right numbers, tokens a second, memory.

For each format: real layers of the model on real inputs against the definition in float64 on the
CPU, codes and scales compared bit for bit; then decoding at 1 and 64 streams through the engine's
own batcher. Needs torch, transformers and msgspec, and this repository on the path::

    PYTHONPATH=. python scripts/bench_formats.py MODEL_FOLDER [--formats fp8,mxfp4] [--out FILE]

Without a CUDA GPU it runs on the CPU, with fewer streams and tokens. A format that fails is a row
that says so; formats that the time budget leaves out are named.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import queue
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers
from msgspec import Struct
from torch import Tensor, nn

from qbench.errors import QbenchError
from qbench.kernels.exact import exact_layer
from qbench.kernels.formats import FORMATS, Format, fitted, get_format
from qbench.kernels.linears.linear import apply_format
from qbench.kernels.reference import FLOATS, quantize
from qbench.kernels.rotation import rotate
from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.cache import Slots
from qbench.workers.embedded.generation import Generation
from qbench.workers.embedded.loading import Loaded, load
from qbench.workers.embedded.sampling import Sampler

ROWS = 512
"""Rows of a layer that are compared: a slice is a layer of its own, and float64 is slow."""
TOKENS = 16
WARM_UP = 4
PROMPT = 32
RUNS = 3


class Probe(Struct, frozen=True):
    """A layer of the model and what really reaches it."""

    name: str
    weight: Tensor
    inputs: Tensor


class Row(Struct, kw_only=True):
    """What was measured of one format; None where it was not."""

    format: str
    effective: str = ""
    largest_error: float | None = None
    """Largest |error| by the root mean square of the layer's outputs in float64."""
    mean_error: float | None = None
    within_bound: bool | None = None
    same_codes: bool | None = None
    """Codes and scales made on the device are the CPU's, bit for bit; None without codes."""
    tokens_per_s: dict[str, list[float]] = {}
    """By streams: every run, the first one left out."""
    load_s: float | None = None
    load_peak_bytes: int | None = None
    serve_peak_bytes: int | None = None
    packed_bytes: int | None = None
    bits_per_weight: float | None = None
    error: str = ""


def probes(folder: Path, device: str) -> list[Probe]:
    """Return layers of the first, middle and last block, with inputs from a bf16 forward pass."""
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model = loaded.to(device).eval()
    linears = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    inner = [name for name in linears if "layers." in name] or [*linears]
    chosen = [inner[0], inner[len(inner) // 2], inner[-1]]
    seen: dict[str, Tensor] = {}
    for name in chosen:
        linears[name].register_forward_hook(_keeper(seen, name))
    ids = torch.arange(7, 7 + PROMPT * 11, 11, device=device)[None] % model.config.vocab_size
    with torch.inference_mode():
        model(ids)
    return [
        Probe(name, linears[name].weight.detach()[:ROWS].cpu().clone(), seen[name])
        for name in chosen
    ]


def _keeper(seen: dict[str, Tensor], name: str) -> Any:
    def keep(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
        seen[name] = inputs[0][0].detach().cpu().clone()

    return keep


@torch.no_grad()
def compare(row: Row, fmt: Format, layers: Sequence[Probe], device: str) -> None:
    """Hold emulated layers on ``device`` to float64 on the CPU."""
    errors, within, same = [], [], []
    for probe in layers:
        inputs = probe.inputs.to(FLOATS[fmt.arithmetic or fmt.storage])
        model = nn.Sequential(nn.Linear(*probe.weight.T.shape, bias=False))
        model[0].weight.data = probe.weight.clone()
        model = model.to(device)
        apply_format(model, fmt)
        exact = exact_layer(probe.weight, fmt, inputs)
        error = (model(inputs.to(device)).cpu().double() - exact.outputs).abs()
        errors.append(error / exact.outputs.square().mean().sqrt())
        within.append(bool((error <= exact.bound).all()))
        same += _same_codes(fitted(fmt, probe.weight.shape[1]), probe, inputs, device)
    row.largest_error = max(float(error.max()) for error in errors)
    row.mean_error = statistics.mean(float(error.mean()) for error in errors)
    row.within_bound, row.same_codes = all(within), all(same) if same else None


def _same_codes(fmt: Format, probe: Probe, inputs: Tensor, device: str) -> Iterator[bool]:
    sides = ((probe.weight, fmt.weights), (inputs, fmt.activations))
    for values, scheme in sides:
        if scheme is None:
            continue
        here, there = values, values.to(device)
        if fmt.rotation is not None:
            here, there = rotate(here, fmt.rotation), rotate(there, fmt.rotation)
        ours, theirs = quantize(here, scheme), quantize(there, scheme)
        yield torch.equal(ours.codes.view(torch.uint8), theirs.codes.cpu().view(torch.uint8))
        yield torch.equal(ours.step, theirs.step.cpu())


def speeds(row: Row, loaded: Loaded, streams: Sequence[int], tokens: int) -> None:
    """Decode at each number of streams through the engine's batcher."""
    config: Any = loaded.model.config
    longest = PROMPT + tokens + 1
    slots = Slots(config, max(streams), longest, dtype=loaded.cache_dtype, device=loaded.device)
    for count in streams:
        batcher = Batcher(loaded.model, slots, concurrency=count)
        batcher.start()
        try:
            lengths = [WARM_UP, *([tokens] * RUNS)]
            runs = [decode(batcher, count, length, config.vocab_size) for length in lengths]
        finally:
            batcher.close()
        row.tokens_per_s[str(count)] = [round(run, 1) for run in runs[1:]]


def decode(batcher: Batcher, streams: int, tokens: int, vocabulary: int) -> float:
    """Return generated tokens a second of decoding, prompts left out."""
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    before, made = batcher.meter.decode, batcher.meter.generated_tokens
    for stream in range(streams):
        prompt = torch.randint(
            vocabulary, (PROMPT,), generator=torch.Generator().manual_seed(stream)
        )
        batcher.submit(
            Generation(
                tokens=prompt.tolist(),
                sampler=Sampler(temperature=0.0, top_p=1.0, seed=0),
                told=lambda _, finish: heard.put(finish) if finish else None,
                max_tokens=tokens,
                ends=frozenset(),
            )
        )
    for _ in range(streams):
        heard.get(timeout=300)
    time.sleep(0.05)  # the last step is booked after its last token was told
    # the first token of each stream comes from its prompt's step, which is not decoding
    return (batcher.meter.generated_tokens - made - streams) / (batcher.meter.decode - before)


def measure(name: str, layers: Sequence[Probe], wanted: argparse.Namespace) -> Row:
    """Return a format's row; what fails is told in it."""
    row = Row(format=name)
    try:
        fmt = get_format(name)
        compare(row, fmt, layers, wanted.device)
        began = time.perf_counter()
        _reset(wanted.device)
        loaded = load(wanted.model, name, device=wanted.device)
        row.load_s, row.load_peak_bytes = time.perf_counter() - began, _peak(wanted.device)
        row.effective, row.packed_bytes = loaded.effective, loaded.weight_bytes
        row.bits_per_weight = loaded.bits_per_weight
        _reset(wanted.device)
        speeds(row, loaded, wanted.streams, wanted.tokens)
        row.serve_peak_bytes = _peak(wanted.device)
    except (QbenchError, RuntimeError, ValueError, OSError, queue.Empty) as error:
        row.error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return row


def _reset(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> int | None:
    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else None


def table(rows: Sequence[Row], streams: Sequence[int]) -> str:
    """Return the rows as a Markdown table; speeds are medians with their range."""
    speed = " | ".join(f"tokens/s at {count}" for count in streams)
    lines = [f"| format | error max | mean | in bound | codes | {speed} | MiB packed | peak MiB |"]
    lines.append("|---" * (7 + len(streams)) + "|")
    for row in rows:
        if row.error:
            lines.append(f"| {row.format} | failed: {row.error} |")
            continue
        shown = [row.effective, f"{row.largest_error:.1e}", f"{row.mean_error:.1e}"]
        shown += [_yes(row.within_bound), _yes(row.same_codes)]
        shown += [_range(row.tokens_per_s.get(str(count), [])) for count in streams]
        lines.append("| " + " | ".join([*shown, *map(_mib, _sizes(row))]) + " |")
    return "\n".join(lines)


def _sizes(row: Row) -> tuple[int | None, int | None]:
    return row.packed_bytes, row.serve_peak_bytes


def _yes(told: bool | None) -> str:
    return "–" if told is None else "yes" if told else "NO"


def _mib(size: int | None) -> str:
    return "–" if size is None else f"{size / 2**20:,.0f}"


def _range(runs: Sequence[float]) -> str:
    if not runs:
        return "–"
    return f"{statistics.median(runs):,.1f} ({min(runs):,.1f} to {max(runs):,.1f})"


def machine(device: str) -> dict[str, str]:
    """Say what this ran on."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else "none"
    return {
        "gpu": gpu,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
    }


def main() -> None:
    """Measure, print, write."""
    wanted = _arguments()
    transformers.utils.logging.disable_progress_bar()
    print("  ".join(f"{name} {value}" for name, value in machine(wanted.device).items()))
    began = time.monotonic()
    layers = probes(wanted.model, wanted.device)
    rows: list[Row] = []
    for name in wanted.formats:
        if time.monotonic() - began > wanted.budget:
            rows.append(Row(format=name, error="left out: the time budget was spent"))
            continue
        rows.append(measure(name, layers, wanted))
        print(f"{time.monotonic() - began:6.1f} s  {name}  {rows[-1].error}", flush=True)
        _write(wanted, rows, layers)
    print(table(rows, wanted.streams))
    _write(wanted, rows, layers)


def _write(wanted: argparse.Namespace, rows: Sequence[Row], layers: Sequence[Probe]) -> None:
    """Write what is known so far: a run that is cut off leaves its rows."""
    if not wanted.out:
        return
    told = {"machine": machine(wanted.device), "model": wanted.model.name, "rows": rows}
    told |= {"layers": [probe.name for probe in layers], "tokens": wanted.tokens}
    Path(wanted.out).write_text(json.dumps(msgspec.to_builtins(told), indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder in Hugging Face layout")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--streams", default="", help="[default: 1,64; on a CPU 1,4]")
    parser.add_argument("--tokens", type=int, default=0, help="generated by a stream in a run")
    parser.add_argument(
        "--budget", type=float, default=200.0, help="seconds; no format starts after"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", default="", help="JSON file")
    wanted = parser.parse_args()
    on_gpu = wanted.device != "cpu"
    wanted.formats = wanted.formats.split(",")
    given = wanted.streams or ("1,64" if on_gpu else "1,4")
    wanted.streams = [int(count) for count in given.split(",")]
    wanted.tokens = wanted.tokens or (TOKENS if on_gpu else TOKENS // 2)
    return wanted


if __name__ == "__main__":
    main()
