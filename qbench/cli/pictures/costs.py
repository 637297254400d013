"""Dollars per right answer on a logarithmic axis: every system by both statistics, and V."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, colour, said
from qbench.service.reports.cost.values import CostOfPass, CostsOfPass
from qbench.service.reports.values import Estimate

STATISTICS = (("ratio-of-means", "ratio_of_means", "o"), ("per-problem V", "per_problem_mean", "s"))


def paint(figure: Figure, report: CostsOfPass) -> None:
    """Paint one line per system, the frontier as a band and the expert as a line."""
    axes = figure.subplots()
    rows = [row for row in report.rows if any(_finite(getattr(row, at)) for _, at, _ in STATISTICS)]
    for place, (name, attribute, marker) in enumerate(STATISTICS):
        _points(axes, rows, attribute, (name, marker, colour(place)), (place - 0.5) * 0.2)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.invert_yaxis()
    _lines(axes, report)
    if rows:
        axes.set_xscale("log")
        axes.legend(loc="best")
    axes.set_xlabel(f"dollars per right answer ({report.basis}; 95 % intervals)")
    axes.set_title("Cost of pass")


def _points(
    axes: Axes, rows: list[CostOfPass], attribute: str, look: tuple[str, str, str], shift: float
) -> None:
    name, marker, tone = look
    for place, row in enumerate(rows):
        found: Estimate | None = getattr(row, attribute)
        if found is None or not _finite(found):
            continue
        high = found.high if math.isfinite(found.high) else found.value
        low = found.low if found.low > 0 else found.value
        axes.errorbar(
            found.value,
            place + shift,
            xerr=[[found.value - low], [high - found.value]],
            fmt=marker,
            color=tone,
            capsize=2,
            label=name if place == 0 else None,
        )
        if math.isinf(found.high):
            said(axes, "→ ∞", (found.value, place + shift))


def _lines(axes: Axes, report: CostsOfPass) -> None:
    frontier = report.frontier
    if frontier is not None and _finite(frontier.value):
        axes.axvline(frontier.value.value, color=GREY, label="frontier V")
        if frontier.value.low > 0 and math.isfinite(frontier.value.high):
            axes.axvspan(frontier.value.low, frontier.value.high, color=GREY, alpha=0.15)
    if report.expert is not None:
        axes.axvline(float(report.expert.dollars), color=GREY, linestyle=":", label="expert")


def _finite(found: Estimate | None) -> bool:
    return found is not None and math.isfinite(found.value) and found.value > 0
