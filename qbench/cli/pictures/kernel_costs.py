"""Predicted dollars of a million tokens by batch size, a line a format."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from qbench.cli.pictures.canvas import COLOURS, MARKERS, colour
from qbench.service.reports.kernels.values import KernelCost, Paced


def paint(figure: Figure, report: KernelCost) -> None:
    """Paint dollars, or tokens a second where the machine is unpriced, both axes logarithmic."""
    axes = figure.subplots()
    for place, one in enumerate(report.formats):
        sizes = [row.batch for row in one.rows]
        values = [_value(row) for row in one.rows]
        axes.plot(
            sizes,
            values,
            marker=MARKERS[place % len(MARKERS)],
            color=colour(place),
            linestyle="-" if place < len(COLOURS) else "--",
            label=f"{one.format} ({one.contestant})",
        )
        _band(axes, one.rows, place)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(f"sequences at a time, {report.prompt:,} + {report.output:,} tokens each")
    priced = bool(report.per_hour)
    axes.set_ylabel("$ per million generated tokens" if priced else "generated tokens a second")
    axes.set_title(f"{report.model} on {report.gpu}, predicted")
    axes.legend(fontsize=8)


def _value(row: Paced) -> float:
    return row.tokens_per_second if row.dollars is None else row.dollars.value


def _band(axes: Axes, rows: tuple[Paced, ...], place: int) -> None:
    """Shade the 95 % interval where it is bounded."""
    known = [(row.batch, row.dollars) for row in rows if row.dollars and row.error is not None]
    if known:
        sizes, spans = zip(*known, strict=True)
        low, high = [one.low for one in spans], [one.high for one in spans]
        axes.fill_between(sizes, low, high, color=colour(place), alpha=0.12, linewidth=0)
