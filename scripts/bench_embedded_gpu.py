"""Tokens per second of the embedded engine on a GPU, and where a token's time goes.

A Llama with random weights is made on the GPU, its layers rounded to each format, and its own
batcher answers prompts of random tokens greedily. Each repetition asks ``batch`` new prompts::

    python scripts/bench_embedded_gpu.py [--formats bf16,w4a16] [--batches 1,8,32,64]
        [--prompt 512] [--tokens 128] [--repeats 3] [--shape 8b] [--out rows.json]

``step_ms`` is one step of single tokens at the last context, by replays of its graph; ``kernels``
are microseconds per step by program, as the profiler saw them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from qbench import __version__
from qbench.kernels.formats import get_format
from qbench.kernels.linears.applying import Ran, apply_kernels
from qbench.kernels.reference import FLOATS
from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.cache import ATTENTION, Slots
from qbench.workers.embedded.decoder import Decoder
from qbench.workers.embedded.generation import Generation
from qbench.workers.embedded.graphs import Steps
from qbench.workers.embedded.loading import exact_sums
from qbench.workers.embedded.sampling import Sampler

SHAPES: dict[str, dict[str, Any]] = {
    "8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    },
    "tiny": {
        "vocab_size": 1024,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
    },
}
LONG = ("kernels", "setting", "every")
"""Parts of a row that are not printed."""
REPLAYS = 20
PROFILED = 5
Json = dict[str, Any]


def main() -> None:
    """Measure each format in a process of its own, print rows, keep them.

    So no format is timed with what another one left behind: memory, a profiler's hooks.
    """
    wanted = _arguments()
    names = wanted.formats.split(",")
    if len(names) == 1:
        exact_sums()
        _keep(measure(names[0], wanted), wanted)
        return
    rows: list[Json] = []
    for name in names:
        part = Path(f"{wanted.out}.{name}")
        told = [*sys.argv[1:], "--formats", name, "--out", str(part)]
        subprocess.run([sys.executable, __file__, *told], check=True)  # noqa: S603 - itself
        rows += json.loads(part.read_text())
        part.unlink()
        Path(wanted.out).write_text(json.dumps(rows, indent=1))


def _keep(rows: list[Json], wanted: argparse.Namespace) -> None:
    Path(wanted.out).write_text(json.dumps(rows, indent=1))
    for row in rows:
        told = {key: value for key, value in row.items() if key not in LONG}
        print(json.dumps(told))


def measure(name: str, wanted: argparse.Namespace) -> list[Json]:
    """Return the rows of one format."""
    batches = [int(batch) for batch in wanted.batches.split(",")]
    began = time.perf_counter()
    model, ran = _model(SHAPES[wanted.shape], name)
    length = wanted.prompt + wanted.tokens + 1
    slots = _slots(model, max(batches), length)
    steps = Steps(Decoder(model, slots, max(batches)), max(batches))
    torch.cuda.synchronize()
    head = {"format": name, "path": ran.path, "kernel": ran.kernel, "shape": wanted.shape}
    head |= {"start_s": round(time.perf_counter() - began, 1)}
    rows = [head | _row(model, slots, steps, batch, wanted) for batch in batches]
    setting = _setting()
    for row, batch in zip(rows, batches, strict=True):  # when nothing is timed any more
        row |= {"kernels": _kernels(steps, _places(batch, wanted)), "setting": setting}
    return rows


def _model(shape: Json, name: str) -> tuple[nn.Module, Ran]:
    """Return a random model in a format; the same weights whatever the format."""
    fmt = get_format(name)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(FLOATS[fmt.storage])
    with torch.device("cuda"):
        config = LlamaConfig(**shape, tie_word_embeddings=False, rope_theta=500000.0)
        config._attn_implementation = ATTENTION  # noqa: SLF001 - as from_pretrained sets it
        model: nn.Module = LlamaForCausalLM(config)
    torch.set_default_dtype(before)
    _, ran = apply_kernels(model.eval(), fmt)
    return model, ran


def _slots(model: nn.Module, count: int, length: int) -> Slots:
    config: Any = model.config
    dtype = next(model.parameters()).dtype
    return Slots(config, count, -(-length // 64) * 64, dtype=dtype, device="cuda")


def _row(
    model: nn.Module, slots: Slots, steps: Steps, batch: int, wanted: argparse.Namespace
) -> Json:
    batcher = Batcher(model, slots, concurrency=batch, steps=steps)
    batcher.start()
    found = [_asked(batcher, batch, wanted) for _ in range(wanted.repeats + 1)][1:]
    batcher.close()
    row: Json = {"batch": batch, "prompt": wanted.prompt, "tokens": wanted.tokens}
    row["every"] = [{key: round(value, 4) for key, value in one.items()} for one in found]
    for key in found[0]:
        every = sorted(one[key] for one in found)
        row[key] = round(statistics.median(every), 4)
        row[f"{key}_spread"] = [round(every[0], 4), round(every[-1], 4)]
    row["step_ms"] = _step_ms(steps, _places(batch, wanted))
    return row


def _places(batch: int, wanted: argparse.Namespace) -> list[tuple[int, int, int]]:
    """Return tokens, slots and positions at the last context."""
    return [(7, slot, wanted.prompt + wanted.tokens - 1) for slot in range(batch)]


def _asked(batcher: Batcher, batch: int, wanted: argparse.Namespace) -> dict[str, float]:
    """Ask ``batch`` prompts that begin differently; return seconds and rates."""
    texts = torch.randint(3, 1000, (batch, wanted.prompt)).tolist()
    waiting = [_Heard(wanted.tokens) for _ in texts]
    began = time.perf_counter()
    for tokens, heard in zip(texts, waiting, strict=True):
        batcher.submit(_generation(tokens, heard, wanted.tokens))
    for heard in waiting:
        heard.done.wait()
    firsts, lasts = [heard.first for heard in waiting], [heard.last for heard in waiting]
    return {
        "seconds": max(lasts) - began,
        "tokens_per_s": batch * wanted.tokens / (max(lasts) - began),
        "first_token_ms": 1000 * (max(firsts) - began),
        "ms_per_token": 1000 * statistics.median(heard.gap for heard in waiting),
    }


class _Heard:
    """Notes when a sequence's tokens came."""

    def __init__(self, tokens: int) -> None:
        self.done = threading.Event()
        self.first = self.last = 0.0
        self._tokens = tokens

    def __call__(self, _new: Sequence[int], finish: str) -> None:
        self.last = time.perf_counter()
        self.first = self.first or self.last
        if finish:
            self.done.set()

    @property
    def gap(self) -> float:
        """Seconds between two tokens, mean."""
        return (self.last - self.first) / max(1, self._tokens - 1)


def _generation(tokens: list[int], heard: _Heard, most: int) -> Generation:
    return Generation(
        tokens=tokens,
        sampler=Sampler(temperature=0.0, top_p=1.0, seed=0),
        told=heard,
        max_tokens=most,
        ends=frozenset(),
    )


@torch.inference_mode()
def _step_ms(steps: Steps, places: list[tuple[int, int, int]]) -> float:
    """Return the median time of one step on the GPU; each begins at the same context."""
    took = []
    for _ in range(REPLAYS):
        flight = steps.launch(places)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flight.tokens()
        flight = steps.launch(places)
        begin.record()
        flight = steps.again(flight)
        end.record()
        end.synchronize()
        took.append(begin.elapsed_time(end))
    return round(statistics.median(took), 4)


@torch.inference_mode()
def _kernels(steps: Steps, places: list[tuple[int, int, int]]) -> dict[str, list[float]]:
    """Return calls per step and microseconds per step of each program."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for _ in range(PROFILED):
            steps.launch(places).tokens()
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in seen.events() or []:
        if event.device_type == torch.autograd.DeviceType.CUDA:
            entry = found[event.name[:80]]
            entry[0] += 1 / PROFILED
            entry[1] += event.device_time_total / PROFILED
    ranked = sorted(found.items(), key=lambda pair: -pair[1][1])
    return {name: [round(count, 1), round(took, 1)] for name, (count, took) in ranked}


def _setting() -> Json:
    return {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": _version("triton"),
        "transformers": _version("transformers"),
        "qbench": __version__,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formats", default="bf16,w4a16")
    parser.add_argument("--batches", default="1,8,32,64")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", default="8b", choices=SHAPES)
    parser.add_argument("--out", default="rows.json")
    if not torch.cuda.is_available():
        sys.exit("This needs a CUDA GPU.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
