"""One timing of kernels from a choice to rows: needs torch and a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import torch

from qbench.errors import NotFound
from qbench.kernels.checking.kernels import PRODUCTS, TIMED
from qbench.kernels.formats import get_format
from qbench.kernels.speed import ours
from qbench.kernels.speed.ahead import Rehearsal, compiled_ahead
from qbench.kernels.speed.choice import Choice
from qbench.kernels.speed.contestants import chosen
from qbench.kernels.speed.rows import Row, RowFile, read_rows
from qbench.kernels.speed.running import Done, Plan, done_in, timed
from qbench.kernels.speed.setting import this_setting
from qbench.kernels.speed.shapes import Layer
from qbench.kernels.speed.timing import this_gpu

AHEAD = 0.5
"""Share of the minutes that may go into compiling ahead."""


def measure(choice: Choice, say: Callable[[str], None]) -> list[Row]:
    """Time what is chosen and not in its file yet; return all rows of the file.

    Raises:
        Unsupported: no GPU.
        NotFound: an unknown model, layer, format or contestant.
        StoreError: the file is none of ours, or cannot be written.

    """
    plan = _plan(choice)
    machine = this_gpu()
    there = read_rows(choice.file) if choice.file.exists() else []
    setting = this_setting(machine.device, choice.seed)
    torch.cuda.empty_cache()  # for the processes that compile ahead
    say(f"{setting.gpu}: {setting.ceilings.words}; rows go to {choice.file}")
    done = set() if choice.fresh else done_in(there, setting.gpu)
    began = time.monotonic()
    compiled_ahead(_missing(plan, done), choice.jobs, 60 * AHEAD * choice.minutes, say)
    left = choice.minutes - (time.monotonic() - began) / 60
    file = RowFile(choice.file, setting)
    for rows in timed(msgspec.structs.replace(plan, minutes=left), setting, machine, done, say):
        file.add(rows)
        there += rows
    return there


def _missing(plan: Plan, done: Done) -> list[Rehearsal]:
    """Return the layers and formats of qbench's own that rows are missing of."""
    own = [one for one in plan.contestants if one in ours.CONTESTANTS]
    found = [
        Rehearsal(layer=layer, format=name, tokens=tokens)
        for layer in plan.layers
        for name in plan.formats
        if layer.quantized and name in PRODUCTS and (tokens := _tokens(plan, done, layer, name))
    ]
    return found if own else []


def _tokens(plan: Plan, done: Done, layer: Layer, name: str) -> tuple[int, ...]:
    """Return the M at which a format's layer has no row yet."""
    own = ours.CONTESTANTS[0]
    place = (name, own.name, own.part, layer.model, layer.layer)
    return tuple(m for m in plan.tokens if (*place, m) not in done)


def _plan(choice: Choice) -> Plan:
    layers = choice.shapes()
    if not layers:
        raise NotFound.among("layer", ", ".join(choice.layers), _LAYERS)
    return Plan(
        layers=layers,
        formats=tuple(get_format(name).name for name in choice.formats or TIMED),
        tokens=choice.tokens,
        contestants=chosen(choice.contestants),
        minutes=choice.minutes,
        seed=choice.seed,
    )


_LAYERS = ("qkv", "o", "gate_up", "down", "lm_head")
