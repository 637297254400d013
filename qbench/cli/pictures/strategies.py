"""Pass rate over dollars per attempt: a point for each strategy, a line over its number."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import MARKERS, colour
from qbench.service.reports.strategies.values import Block, StrategyReport, StrategyRow


def paint(figure: Figure, report: StrategyReport) -> None:
    """Paint all suites together, a panel for each model and format."""
    blocks = [block for block in report.blocks if not block.suite]
    panels = figure.subplots(1, len(blocks), squeeze=False, sharey=True)[0]
    for axes, block in zip(panels, blocks, strict=True):
        _panel(axes, block)
    panels[0].set_ylabel("passed, %")


def _panel(axes: Axes, block: Block) -> None:
    lines: dict[str, list[StrategyRow]] = {}
    for row in block.rows:
        if row.cost is not None and row.pass_rate is not None:
            lines.setdefault(_line(row), []).append(row)
    for place, (name, rows) in enumerate(lines.items()):
        _draw(axes, name, sorted(rows, key=lambda row: row.n), place)
    if lines:
        axes.set_xscale("log")
        axes.legend(fontsize=7)
    axes.set_title(block.base)
    axes.set_xlabel("$ per attempt")


def _line(row: StrategyRow) -> str:
    """Name what rows that differ in their number alone share."""
    return row.shown.replace(f"@{row.n}", "", 1)


def _draw(axes: Axes, name: str, rows: Sequence[StrategyRow], place: int) -> None:
    x = [row.cost.value for row in rows if row.cost]
    rates = [row.pass_rate for row in rows if row.pass_rate]
    y = [100 * rate.value for rate in rates]
    below = [100 * (rate.value - rate.low) for rate in rates]
    above = [100 * (rate.high - rate.value) for rate in rates]
    axes.errorbar(
        x,
        y,
        yerr=[below, above],
        color=colour(place),
        marker=MARKERS[place % len(MARKERS)],
        markersize=5,
        markerfacecolor="none" if rows[0].caveat else colour(place),
        elinewidth=0.8,
        label=name + (" (bound)" if rows[0].caveat else ""),
    )
    for row, at, height in zip(rows, x, y, strict=True):
        if row.n:
            axes.annotate(
                str(row.n), (at, height), fontsize=7, xytext=(3, 3), textcoords="offset points"
            )
