"""A roofline: what formats reach under the ceilings of a GPU, from one row of x to thousands.

Left: operations per byte against operations per second, one line per format, a mark per M. Right:
how many times as fast as bf16 the same are, against M.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from qbench.cli.pictures.canvas import GREY, MARKERS, colour
from qbench.kernels.speed.reading import BASELINE, Board, Line
from qbench.kernels.speed.rows import Unit

INCHES = (11.5, 5.2)
UNITS: tuple[Unit, ...] = ("bf16", "fp8", "int8")
OWN = "qbench"
STYLES: dict[str, tuple[str, str]] = {
    "bf16": ("#000000", "-"),
    "fp8": ("#D55E00", "-"),
    "fp8-block": ("#E69F00", "-"),
    "w8a8": ("#8C2D04", "-"),
    "w4a8": ("#CC79A7", "-"),
    "w8a16": ("#56B4E9", "-"),
    "w4a16": ("#0072B2", "-"),
    "w4a16-awq": ("#5E4FA2", "-"),
    "nvfp4a16": ("#009E73", "-"),
    "mxfp4a16": ("#7FB800", "-"),
    "w3a16": ("#6b6b6b", "-"),
    "w2a16": ("#A9A9A9", "-"),
    "nvfp4": ("#009E73", ":"),
    "mxfp4": ("#7FB800", ":"),
    "nvfp4-mr": ("#009E73", "--"),
    "mxfp4-mr": ("#7FB800", "--"),
    "int4-mr": ("#0072B2", "--"),
}
"""Colour and line by format, the same in all pictures: warm where activations are rounded to 8
bits, blue for integers, green for 4-bit floats, broken where activations become 4 bits."""
MOST_TICKS = 8
ABOVE, BESIDE = 1.6, 9.0
"""Room above the highest ceiling, and to the right, where ceilings have their names."""


def paint(figure: Figure, board: Board) -> None:
    """Paint the first model of a board."""
    figure.set_size_inches(*INCHES)
    lines = series([line for line in board.lines if line.model == board.models[0]])
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _roof(left, board, lines)
    _ratios(right, lines)
    figure.suptitle(
        f"Layers of {board.models[0]} on {board.gpu}", x=0.01, ha="left", fontweight="bold"
    )
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside right center", fontsize=9, handlelength=1.8
    )


def series(lines: Sequence[Line]) -> list[Line]:
    """Return one line per format from 16-bit inputs: qbench's own, else what is timed furthest."""
    whole = [line for line in lines if line.part == "whole"]
    found = []
    for name in dict.fromkeys(line.format for line in whole):
        mine = [line for line in whole if line.format == name]
        found.append(max(mine, key=lambda line: (line.contestant == OWN, len(line.cells))))
    return found


def _roof(axes: Axes, board: Board, lines: Sequence[Line]) -> None:
    for place, line in enumerate(lines):
        points = [
            (cell.flops / cell.bytes, cell.flops / cell.us / 1e6)
            for _, cell in sorted(line.cells.items())
        ]
        _draw(axes, points, place, line)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _limits(axes, board, lines)
    _ceilings(axes, board)
    axes.set_xlabel("operations per byte")
    axes.set_ylabel("TFLOP/s")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g}"))


def _draw(axes: Axes, points: Sequence[tuple[float, float]], place: int, line: Line) -> None:
    shade, stroke = STYLES.get(line.format, (colour(place), "-"))
    name = line.format if line.contestant == OWN else f"{line.format} ({line.contestant})"
    axes.plot(
        *zip(*points, strict=True),
        color=shade,
        marker=MARKERS[place % len(MARKERS)],
        linestyle=stroke,
        linewidth=1.2,
        markersize=4,
        markeredgewidth=0,
        label=name,
        zorder=3,
    )


def _limits(axes: Axes, board: Board, lines: Sequence[Line]) -> None:
    cells = [cell for line in lines for cell in line.cells.values()]
    intensities = [cell.flops / cell.bytes for cell in cells]
    rates = [cell.flops / cell.us / 1e6 for cell in cells]
    top = max(*rates, *(board.ceilings.rate(unit) for unit in UNITS))
    axes.set_xlim(min(intensities) / 1.6, max(intensities) * BESIDE)
    axes.set_ylim(min(rates) / 1.6, top * ABOVE)


def _ceilings(axes: Axes, board: Board) -> None:
    """Draw bandwidth as a slope and the rate of each matrix unit as a level, each named."""
    limits, (left, right) = board.ceilings, axes.get_xlim()
    levels = {unit: limits.rate(unit) for unit in UNITS if limits.rate(unit)}
    knee = max(levels.values()) / limits.bandwidth
    axes.plot((left, knee), (left * limits.bandwidth, max(levels.values())), **_ROOF)
    highest = max(levels.values())
    for unit, rate in levels.items():
        below = rate != highest  # so that no name touches the line of the next unit
        axes.plot((rate / limits.bandwidth, right), (rate, rate), **_ROOF)
        axes.annotate(
            f"{unit} {rate:,.0f}",
            (right, rate),
            xytext=(0, -3 if below else 2),
            textcoords="offset points",
            ha="right",
            va="top" if below else "bottom",
            **_WORDS,
        )
    middle = left * (knee / left) ** 0.45
    axes.annotate(
        f"{limits.bandwidth:.2f} TB/s",
        (middle, middle * limits.bandwidth),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        va="bottom",
        **_WORDS,
    )


_ROOF: Any = {"color": GREY, "linewidth": 1.0, "zorder": 1}
_WORDS: Any = {"fontsize": 8, "color": GREY}


def _ratios(axes: Axes, lines: Sequence[Line]) -> None:
    for place, line in enumerate(lines):
        points = [
            (m, cell.ratio) for m, cell in sorted(line.cells.items()) if cell.ratio is not None
        ]
        if points and (line.format, line.contestant, line.part) != BASELINE:
            _draw(axes, points, place, line)
    axes.axhline(1.0, color=GREY, linewidth=1.0, zorder=1)
    axes.set_xscale("log", base=2)
    tokens = sorted({m for line in lines for m in line.cells})
    axes.xaxis.set_major_locator(
        FixedLocator([float(m) for m in tokens[:: 1 + (len(tokens) > MOST_TICKS)]])
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_ylim(0, max(1.1, axes.get_ylim()[1]))
    axes.set_xlabel("M: rows of x")
    axes.set_ylabel("times as fast as bf16")
