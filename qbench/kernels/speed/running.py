"""Times products layer by layer, all who take part in turn; rows are given as they are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from msgspec import Struct
from torch import Tensor

from qbench.kernels.formats import fitted, get_format
from qbench.kernels.speed.contestant import Contestant
from qbench.kernels.speed.entrants import Entrant, Ready, Stage
from qbench.kernels.speed.reading import BASELINE, key_of
from qbench.kernels.speed.rows import Row, Setting
from qbench.kernels.speed.shapes import Layer
from qbench.kernels.speed.timing import ROUNDS, Machine, interleaved, summed_up
from qbench.kernels.speed.work import bytes_moved, operations, unit_of

SIZE = 0.02
"""Standard deviation of weights, as models have them."""

Work = tuple[str, str, str, str, str, int]
"""Format, contestant, part, model, layer and m."""
Done = set[Work]
"""What is in the file."""
Say = Callable[[str], None]


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be timed."""

    layers: tuple[Layer, ...]
    formats: tuple[str, ...]
    tokens: tuple[int, ...]
    contestants: tuple[Contestant, ...]
    minutes: float
    """After these no further M is begun."""
    seed: int


def done_in(rows: Sequence[Row], gpu: str) -> Done:
    """Return what of ``rows`` was timed on ``gpu``."""
    return {(*key_of(row), row.model, row.layer, row.m) for row in rows if row.setting.gpu == gpu}


def timed(
    plan: Plan, setting: Setting, machine: Machine, done: Done, say: Say
) -> Iterator[list[Row]]:
    """Time what is not ``done``; yields the rows of a layer and M, all made in turn."""
    end = time.monotonic() + 60 * plan.minutes
    for layer in plan.layers:
        stage = _stage(layer, machine, plan.seed)
        entrants = _entrants(plan, layer, stage)
        for m in sorted(plan.tokens):
            if time.monotonic() > end:
                say(f"the {plan.minutes:.1f} minutes are over; the same command goes on from here")
                return
            rows = _Round(layer, m, setting, stage, say).rows(entrants, done)
            if rows:
                say(_said(rows))
                yield rows
        del stage, entrants
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()


def _stage(layer: Layer, machine: Machine, seed: int) -> Stage:
    source = torch.Generator(device=machine.device).manual_seed(seed)
    shape = (layer.rows, layer.columns)
    weight = torch.randn(shape, device=machine.device, generator=source) * SIZE
    return Stage(weight=weight.bfloat16(), machine=machine, source=source)


def _entrants(plan: Plan, layer: Layer, stage: Stage) -> list[Entrant]:
    """Return everyone with every format; the output head is left in bfloat16."""
    names = dict.fromkeys((BASELINE[0], *plan.formats)) if layer.quantized else (BASELINE[0],)
    formats = [fitted(get_format(name), layer.columns) for name in names]
    return [Entrant(contestant, fmt, stage) for fmt in formats for contestant in plan.contestants]


class _Round:
    """One layer at one M."""

    def __init__(self, layer: Layer, m: int, setting: Setting, stage: Stage, say: Say) -> None:
        self._layer, self._m = layer, m
        self._setting, self._stage, self._say = setting, stage, say

    def rows(self, entrants: list[Entrant], done: Done) -> list[Row]:
        """Time those who are not done, with the baseline beside them; failures are told.

        Whoever has no product on this layer leaves ``entrants``.
        """
        todo = [one for one in entrants if self._key(one) not in done]
        beside = [one for one in entrants if _is_baseline(one) and one not in todo]
        able = [one for one in todo if self._made(one, entrants)]
        able += [one for one in beside if able and self._made(one, entrants)]
        xs = self._stage.inputs(self._m, max((one.copies(self._m) for one in able), default=0))
        ready = [(one, found) for one in able if (found := self._ready(one, xs))]
        if all(one in beside for one, _ in ready):
            return []
        settle = self._stage.machine.settle
        settle()
        seconds = interleaved([one.start for _, one in ready], ROUNDS, settle)
        return [self._row(*pair, took) for pair, took in zip(ready, seconds, strict=True)]

    def _key(self, one: Entrant) -> Work:
        contestant, layer = one.contestant, self._layer
        where = (layer.model, layer.layer, self._m)
        return (one.format.name, contestant.name, contestant.part, *where)

    def _made(self, one: Entrant, entrants: list[Entrant]) -> bool:
        """Make its weights; who has no product or fails is out for the whole layer."""
        try:
            if one.make(self._m):
                return True
        except Exception as error:  # noqa: BLE001 - whatever a contestant raises, others go on
            self._failed(one, error)
        entrants.remove(one)
        return False

    def _ready(self, one: Entrant, xs: Sequence[Tensor]) -> Ready | None:
        try:
            return one.ready(xs, self._floor_us(one))
        except Exception as error:  # noqa: BLE001 - whatever a contestant raises, others go on
            self._failed(one, error)
            return None

    def _failed(self, one: Entrant, error: Exception) -> None:
        layer, contestant = self._layer, one.contestant
        who = f"{one.format.name} by {contestant.name} ({contestant.part})"
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        self._say(f"{layer.model} {layer.layer} M = {self._m}: {who} is left out: {why}")

    def _moved(self, one: Entrant) -> int:
        layer = self._layer
        return bytes_moved(one.format, layer.rows, layer.columns, self._m, one.contestant.part)

    def _floor_us(self, one: Entrant) -> float:
        return self._moved(one) / self._setting.ceilings.bandwidth / 1e6

    def _row(self, one: Entrant, ready: Ready, seconds: Sequence[float]) -> Row:
        layer, contestant = self._layer, one.contestant
        size = (layer.rows, layer.columns, self._m)
        took = summed_up(seconds, ready.calls)
        told = contestant.told(one.format, *size) if contestant.told else (contestant.name, "")
        return Row(
            kernel=told[0],
            format=one.format.name,
            contestant=contestant.name,
            part=contestant.part,
            model=layer.model,
            layer=layer.layer,
            n=layer.rows,
            k=layer.columns,
            m=self._m,
            median_us=_rounded(took.median_us),
            p20_us=_rounded(took.p20_us),
            p80_us=_rounded(took.p80_us),
            replays=took.replays,
            bytes=self._moved(one),
            flops=operations(*size),
            unit=unit_of(one.format),
            error=_rounded(ready.error),
            config=told[1],
            setting=self._setting,
        )


def _rounded(value: float) -> float:
    """Keep five digits: a timing is not better than that, and files stay small."""
    return float(f"{value:.5g}")


def _is_baseline(one: Entrant) -> bool:
    return (one.format.name, one.contestant.name, one.contestant.part) == BASELINE


def _said(rows: Sequence[Row]) -> str:
    """Say how far a layer is: ``llama-3.1-8b qkv, M = 16: 21 timed, bf16 18.2 µs, ...``."""
    first = rows[0]
    base = next((row.median_us for row in rows if key_of(row) == BASELINE), None)
    whole = [row for row in rows if row.part == "whole"]
    best = min(whole or rows, key=lambda row: row.median_us)
    ratio = "" if base is None else f" ({base / best.median_us:.2f} × bf16)"
    return (
        f"{first.model} {first.layer}, M = {first.m}: {len(rows)} timed, fastest "
        f"{best.format} by {best.contestant} in {best.median_us:,.1f} µs{ratio}"
    )
