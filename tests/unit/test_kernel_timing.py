"""Timing without a GPU: the same loop, its replays made and measured on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from qbench.errors import NotFound, Unsupported
from qbench.kernels.formats import Format, get_format
from qbench.kernels.speed import vendor
from qbench.kernels.speed.choice import Choice
from qbench.kernels.speed.contestant import Contestant, Product
from qbench.kernels.speed.entrants import Entrant, Stage
from qbench.kernels.speed.rows import Row
from qbench.kernels.speed.running import Plan, done_in, timed
from qbench.kernels.speed.shapes import Layer
from qbench.kernels.speed.timing import (
    ROUNDS,
    Machine,
    Start,
    copies_for,
    interleaved,
    summed_up,
    this_gpu,
    turns_for,
)
from tests.kernel_rows import SETTING
from tests.plain_products import multiplied

LAYER = Layer(model="toy", layer="o", rows=192, columns=256, count=1)
HEAD = Layer(model="toy", layer="lm_head", rows=320, columns=256, count=1, quantized=False)


def by_clock(products: Sequence[Product], inputs: Sequence[Any], turns: int) -> Start:
    """Capture for a CPU: calls when started, and has the seconds at once."""

    def start() -> Callable[[], float]:
        began = time.perf_counter()
        for _ in range(turns):
            for product, given in zip(products, inputs, strict=True):
                product(given)
        took = time.perf_counter() - began
        return lambda: took

    return start


SLOW = msgspec.structs.replace(
    SETTING, ceilings=msgspec.structs.replace(SETTING.ceilings, copy=1e-4, read=1e-4)
)
"""A machine for which one turn is long."""
CPU = Machine(device=torch.device("cpu"), cache=100_000, capture=by_clock, settle=lambda: None)
OURS = Contestant(name="qbench", make=multiplied)
BASE = vendor.CONTESTANTS[0]


def plan(*contestants: Contestant, **changes: Any) -> Plan:
    told: dict[str, Any] = {
        "layers": (LAYER,),
        "formats": ("bf16", "w4a16"),
        "tokens": (1, 32),
        "contestants": (BASE, *contestants),
        "minutes": 5.0,
        "seed": 3,
    }
    return Plan(**(told | changes))


def run(asked: Plan, there: Sequence[Row] = ()) -> tuple[list[Row], list[str]]:
    said: list[str] = []
    done = done_in(there, SETTING.gpu)
    made = [row for rows in timed(asked, SLOW, CPU, done, said.append) for row in rows]
    return made, said


def test_rows_are_made_for_each_format_layer_and_m() -> None:
    rows, said = run(plan(OURS, layers=(LAYER, HEAD)))
    inner = [row for row in rows if row.layer == "o"]
    assert [(row.format, row.contestant, row.m) for row in inner] == [
        ("bf16", "cublas", 1),
        ("w4a16", "qbench", 1),
        ("bf16", "cublas", 32),
        ("w4a16", "qbench", 32),
    ]
    assert {row.format for row in rows if row.layer == "lm_head"} == {"bf16"}
    for row in rows:
        assert 0 < row.p20_us <= row.median_us <= row.p80_us
        assert row.replays == ROUNDS
        assert row.error < 0.01
        assert row.flops == 2 * row.m * row.n * row.k
    assert "× bf16" in said[0]


def test_what_is_there_is_not_timed_again_and_the_baseline_comes_along() -> None:
    first, _ = run(plan())
    again, _ = run(plan(), first)
    assert again == []
    more, _ = run(plan(OURS), first)
    assert {(row.format, row.m) for row in more} == {
        ("bf16", 1), ("w4a16", 1), ("bf16", 32), ("w4a16", 32),
    }  # fmt: skip
    rest, _ = run(plan(OURS), [*first, *more])
    assert rest == []


def test_nothing_is_begun_once_the_time_is_over() -> None:
    rows, said = run(plan(minutes=-1.0))
    assert rows == []
    assert "goes on from here" in said[0]


def test_a_contestant_that_fails_or_is_wrong_is_told_and_left_out() -> None:
    def explode(_: Format, __: Tensor) -> Product | None:
        raise RuntimeError("no such\nkernel")

    def nothing(_: Format, weight: Tensor) -> Product | None:
        return lambda x: torch.full((len(x), len(weight)), torch.nan)

    def twice(_: Format, weight: Tensor) -> Product | None:
        return lambda x: 2 * (x @ weight.T)

    bad = (
        Contestant(name="explodes", make=explode),
        Contestant(name="nan", make=nothing),
        Contestant(name="twice", make=twice),
    )
    rows, said = run(plan(*bad, formats=("bf16",), tokens=(4,)))
    assert [row.contestant for row in rows] == ["cublas"]
    told = "\n".join(said)
    assert "bf16 by explodes (whole) is left out: no such" in told
    assert "bf16 by nan (whole) is left out: its result is wrong: relative error nan" in told
    assert "bf16 by twice (whole) is left out: its result is wrong: relative error 1" in told


def test_what_a_contestant_tells_of_its_program_is_kept() -> None:
    def tell(fmt: Format, n: int, k: int, m: int) -> tuple[str, str]:
        return f"narrow {fmt.name}", f"{n}x{k}x{m}"

    telling = Contestant(name="qbench", make=multiplied, told=tell)
    rows, _ = run(plan(telling, tokens=(2,)))
    assert (rows[1].kernel, rows[1].config) == ("narrow w4a16", "192x256x2")


def test_int_mm_takes_no_few_rows_and_its_sums_are_scaled_for_the_error_alone() -> None:
    (unscaled,) = (one for one in vendor.CONTESTANTS if one.name == "int_mm unscaled")
    rows, _ = run(plan(unscaled, formats=("w8a8",), tokens=(4, 32)))
    found = [row for row in rows if row.contestant == "int_mm unscaled"]
    assert [(row.m, row.part) for row in found] == [(32, "product")]
    assert found[0].error < 0.02
    assert found[0].unit == "int8"


def test_each_copy_of_a_weight_is_memory_of_its_own() -> None:
    seen: list[int] = []

    def make(_: Format, weight: Tensor) -> Product | None:
        seen.append(weight.data_ptr())
        return lambda x: x @ weight.T

    weight = torch.randn(64, 64).bfloat16()
    stage = Stage(weight=weight, machine=CPU, source=torch.Generator())
    entrant = Entrant(Contestant(name="it", make=make), get_format("bf16"), stage)
    assert entrant.make(1)
    assert len(seen) == entrant.copies(1)
    ready = entrant.ready(stage.inputs(1, entrant.copies(1)), 10.0)
    assert ready is not None
    assert ready.calls % entrant.copies(1) == 0
    assert weight.data_ptr() not in seen


def test_copies_fill_four_caches_and_graphs_take_their_time() -> None:
    assert copies_for(10_000_000, 50_000_000) == 20
    assert copies_for(10**9, 50_000_000) == 2
    assert copies_for(1, 50_000_000) == 64
    assert turns_for(20, 5.0) == 4
    assert turns_for(2, 10_000.0) == 1
    assert turns_for(2, 0.001) == 16


def test_replays_take_turns_and_nobody_always_follows_the_same() -> None:
    order: list[int] = []

    def start(number: int) -> Start:
        def go() -> Callable[[], float]:
            order.append(number)
            return lambda: float(number)

        return go

    found = interleaved([start(0), start(1), start(2)], 3, lambda: order.append(9))
    assert order == [0, 1, 2, 0, 1, 2, 9, 1, 2, 0, 9, 2, 0, 1, 9]
    assert found == [[0.0] * 3, [1.0] * 3, [2.0] * 3]


def test_a_timing_is_the_median_and_the_fifths_of_one_call() -> None:
    found = summed_up([1e-3 * one for one in range(1, 12)], calls=10)
    assert (found.median_us, found.p20_us, found.p80_us) == pytest.approx((600.0, 300.0, 900.0))
    assert found.replays == 11


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_timing_says_what_to_do() -> None:
    with pytest.raises(Unsupported, match="torch sees none"):
        this_gpu()


def test_layers_are_chosen_by_model_and_name() -> None:
    choice = Choice(file=Path("rows"), models=("llama-3.1-8b",), layers=("o", "down"))
    assert [layer.layer for layer in choice.shapes()] == ["o", "down"]
    assert len(Choice(file=Path("rows")).shapes()) == 15
    with pytest.raises(NotFound):
        Choice(file=Path("rows"), models=("gpt",)).shapes()
