"""The tables of docs/layer-time.md, from the rows and measurements that come with qbench."""

from __future__ import annotations

from collections.abc import Iterator

from qbench.errors import NotFound
from qbench.kernels.layertime.endtoend import measured as served
from qbench.kernels.layertime.kernels import ENGINES
from qbench.kernels.speed.rows import Row, measured
from qbench.service.pricebook import PriceBook
from qbench.service.reports.efficiency.shapes import transformer_named
from qbench.service.reports.kernels.report import BATCHES, Wanted, cost_of
from qbench.service.reports.kernels.values import Cheapest, FormatCost, KernelCost

MODEL = "Llama-3.1-8B"
UNPRICED = PriceBook(machines=(), models=())
Cells = tuple[str, ...]

AGREEMENT_HEADS = (
    "engine", "format", "kernels", "of", "streams", "measured", "predicted", "error",
)  # fmt: skip
SPEED_HEADS = ("GPU, engine", "format", "kernels", *(f"{size}" for size in BATCHES))


def price_lists() -> tuple[KernelCost, ...]:
    """Return a price list without prices for each GPU and engine with rows."""
    rows = measured()
    return tuple(_lists(rows))


def _lists(rows: list[Row]) -> Iterator[KernelCost]:
    model = transformer_named(MODEL)
    assert model is not None
    for gpu in sorted({row.setting.gpu for row in rows}):
        for engine in ENGINES:
            try:
                yield cost_of(model, Wanted(gpu=gpu, engine=engine), UNPRICED, rows, served())
            except NotFound:
                continue


def agreement_rows(found: tuple[KernelCost, ...]) -> list[Cells]:
    """Return a line per measurement beside its prediction, and the error of each engine."""
    made: list[Cells] = []
    for one in found:
        for row in one.agreement:
            said = f"{100 * row.error:+.1f} %"
            mark = " (calibrated)" if row.calibrated else " (not counted)" if row.doubt else ""
            engine = f"{row.engine} {row.engine_version}, {row.gpu}, {row.date}"
            figures = (f"{row.streams:,}", f"{row.measured:,.0f}", f"{row.predicted:,.0f}")
            made.append((engine, row.format, row.kernel, row.what, *figures, said + mark))
        if one.error is not None:
            error = f"**{100 * one.error:.1f} %** root mean square"
            made.append((f"{one.engine}, {one.gpu}", "", "", "", "", "", "", error))
    return made


def speed_rows(found: tuple[KernelCost, ...]) -> list[Cells]:
    """Return a line per format with its predicted tokens a second by batch size."""
    return [_speed(one, cost) for one in found for cost in one.formats]


def _speed(one: KernelCost, cost: FormatCost) -> Cells:
    best = {size: _best(one, size) for size in BATCHES}
    rates = {row.batch: f"{row.tokens_per_second:,.0f}" for row in cost.rows}
    cells = (
        f"**{rates[size]}**" if best[size] == cost.format else rates.get(size, "–")
        for size in BATCHES
    )
    return (f"{one.gpu}, {one.engine}", cost.format, cost.contestant, *cells)


def _best(one: KernelCost, size: int) -> str:
    return next((r.format for r in one.cheapest if r.first <= size <= r.last), "")


def range_lines(found: tuple[KernelCost, ...]) -> list[str]:
    """Return a sentence for each engine: which format is cheapest where."""
    several = [one for one in found if len(one.formats) > 1]
    return [
        f"- {one.engine} on {one.gpu}{_known(one)}: {_ranges(one.cheapest)}." for one in several
    ]


def _known(one: KernelCost) -> str:
    """Say where no other format than bf16 was measured."""
    return " (error unknown)" if one.error is None else ""


def _ranges(every: tuple[Cheapest, ...]) -> str:
    return "; ".join(
        f"{one.format} at {_span(one)}"
        + (f" (within the error: {', '.join(one.near)})" if one.near else "")
        for one in every
    )


def _span(one: Cheapest) -> str:
    return f"{one.first:,}" if one.first == one.last else f"{one.first:,} to {one.last:,}"


def note() -> str:
    """Say what there is nothing of."""
    return (
        f"No rows come with qbench yet; {len(served())} file of whole-engine measurements does.\n"
    )
