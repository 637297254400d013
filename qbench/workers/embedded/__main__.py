"""``python -m qbench.workers.embedded``: load a checkpoint in a Format and serve it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import torch
from aiohttp import web
from torch import nn
from transformers.utils import logging as transformers_logging

from qbench.errors import QbenchError
from qbench.workers.embedded.batching import Batcher
from qbench.workers.embedded.cache import Piece, Slots, Step
from qbench.workers.embedded.generation import Threads
from qbench.workers.embedded.graphs import steps_of
from qbench.workers.embedded.loading import load
from qbench.workers.embedded.server import Server
from qbench.workers.hardware import cores

WARM_UP_ROWS = 16

REMEMBERED = 8
"""Slots beyond the concurrency: prompts that are kept though nobody runs in them."""


def main() -> int:
    """Serve until told to stop."""
    began = time.perf_counter()
    wanted = _parser().parse_args()
    transformers_logging.disable_progress_bar()
    try:
        loaded = load(
            Path(wanted.checkpoint), wanted.format, device=wanted.device, emulate=wanted.emulate
        )
    except (QbenchError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    slots = Slots(
        loaded.model.config,  # type: ignore[arg-type] # every transformers model has one
        wanted.concurrency + REMEMBERED,
        min(wanted.context, loaded.length),
        dtype=loaded.cache_dtype,
        device=loaded.device,
    )
    narrow = wanted.threads or best_threads(loaded.model, slots)
    threads = Threads(narrow=narrow, wide=wanted.threads or cores())
    batcher = Batcher(
        loaded.model,
        slots,
        concurrency=wanted.concurrency,
        threads=threads,
        steps=None if wanted.eager else steps_of(loaded, slots, wanted.concurrency),
        died=lambda: os._exit(1),  # a server without its model must be seen to be dead
    )
    batcher.start()
    server = Server(loaded, batcher, wanted.name, time.perf_counter() - began)
    web.run_app(
        server.app(), host=wanted.host, port=wanted.port, print=None, handler_cancellation=True
    )
    batcher.close()
    return 0


def best_threads(model: nn.Module, slots: Slots) -> int:
    """Measure which thread count decodes a batch soonest: on shared machines fewer can be more."""
    if slots.keys.device.type != "cpu":
        return torch.get_num_threads()
    rows = min(WARM_UP_ROWS, slots.keys.shape[1])
    took = {}
    with torch.inference_mode():
        for threads in sorted({1, (cores() + 1) // 2, cores()}, reverse=True):
            torch.set_num_threads(threads)
            took[threads] = min(_timed_step(model, slots, rows) for _ in range(3))
    return min(took, key=lambda threads: took[threads])


def _timed_step(model: nn.Module, slots: Slots, rows: int) -> float:
    began = time.perf_counter()
    step = Step(slots, [Piece(row, 0, 1) for row in range(rows)])
    ids = torch.zeros((1, rows), dtype=torch.long)
    model(input_ids=ids, position_ids=step.positions[None], use_cache=False, step=step)
    return time.perf_counter() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qbench.workers.embedded", description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="folder in Hugging Face layout")
    parser.add_argument("--format", default="bf16")
    parser.add_argument("--name", required=True, help="served model name")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--device", default="", help="cpu or cuda [default: cuda where there is one]"
    )
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--emulate", action="store_true", help="no GPU programs for codes")
    parser.add_argument("--eager", action="store_true", help="no CUDA graphs")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads [default: measured]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
