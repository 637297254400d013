"""Compiles programs before they are timed, in several processes: one takes minutes for a model.

Each process makes a layer's weight in one format and calls its products once for every M; Triton
keeps what it compiled on disk, where the process that times finds it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait

import torch
from msgspec import Struct

from qbench.kernels.formats import fitted, get_format
from qbench.kernels.speed import ours
from qbench.kernels.speed.shapes import Layer


class Rehearsal(Struct, frozen=True, kw_only=True):
    """A layer in a format, to be called once for each M."""

    layer: Layer
    format: str
    tokens: tuple[int, ...]
    device: str = "cuda"


def compiled_ahead(
    asked: Sequence[Rehearsal], jobs: int, seconds: float, say: Callable[[str], None]
) -> None:
    """Rehearse in ``jobs`` processes, for ``seconds`` and what was begun by then.

    What fails, or is not begun, is compiled when it is timed.
    """
    if not asked or jobs < 2:
        return
    say(f"compiling {len(asked)} layers and formats in {jobs} processes")
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waited = wait([pool.submit(rehearse, one) for one in asked], timeout=seconds)
        pool.shutdown(cancel_futures=True)
    failed = [text for future in waited.done if (text := _failure(future))]
    if failed:
        say(f"{len(failed)} could not be compiled ahead: {failed[0]}")


def _failure(future: Future[str]) -> str:
    """Return why a rehearsal failed: what it said, or what ended its process."""
    error = future.exception()
    return future.result() if error is None else str(error)


def rehearse(asked: Rehearsal) -> str:
    """Call the products of a layer once for each M; returns why it could not, or nothing."""
    try:
        _call(asked)
    except Exception as error:  # noqa: BLE001 - it fails again, and is told, when it is timed
        return f"{asked.format} {asked.layer.model} {asked.layer.layer}: {error}".split("\n")[0]
    finally:
        if asked.device == "cuda":
            torch.cuda.empty_cache()
    return ""


def _call(asked: Rehearsal) -> None:
    layer, fmt = asked.layer, fitted(get_format(asked.format), asked.layer.columns)
    device = torch.device(asked.device)
    product = ours.layer(fmt, torch.randn(layer.rows, layer.columns, device=device).bfloat16())
    if product is None:
        return
    for m in asked.tokens:
        product(torch.randn(m, layer.columns, device=device).bfloat16())
    if device.type == "cuda":
        torch.cuda.synchronize()
