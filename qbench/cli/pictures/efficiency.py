"""Raw seconds an attempt beside idealized ones, as bars."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, colour
from qbench.service.reports.efficiency.values import Costed, Efficiency

THICK = 0.38


def paint(figure: Figure, report: Efficiency) -> None:
    """Paint a pair of bars for each system, first at the top."""
    axes = figure.subplots()
    rows = report.rows
    for place, row in enumerate(rows):
        axes.barh(place - THICK / 2, row.raw or 0.0, THICK, color=GREY, label=_once(place, "raw"))
        _ideal(axes, place, row)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("seconds of model calls per attempt")
    axes.set_title("Measured in the run, and on a dedicated machine")
    axes.legend(fontsize=8)


def _ideal(axes: Axes, place: int, row: Costed) -> None:
    """Paint what was computed, with its interval where that is bounded."""
    ideal = row.idealized
    value = ideal.value if ideal else 0.0
    axes.barh(
        place + THICK / 2, value, THICK, color=colour(0), label=_once(place, "idealized, 95 %")
    )
    if ideal and math.isfinite(ideal.high):
        spread = [[value - ideal.low], [ideal.high - value]]
        axes.errorbar(value, place + THICK / 2, xerr=spread, fmt="none", ecolor="black", capsize=3)


def _once(place: int, text: str) -> str:
    return text if place == 0 else "_"
