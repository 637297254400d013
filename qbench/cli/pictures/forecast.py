"""Forecasts: every system's expected pass rate with its 80 % interval."""

from __future__ import annotations

from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY
from qbench.service.reports.prospect.forecast import Forecast


def paint(figure: Figure, report: Forecast) -> None:
    """Paint pass rates (%) as hollow marks: nothing here was measured."""
    axes = figure.subplots()
    rows = report.rows[::-1]
    for place, row in enumerate(rows):
        one = row.pass_rate
        axes.plot([100 * one.low, 100 * one.high], [place, place], color=GREY, linewidth=2)
        axes.plot(100 * one.value, place, "o", color=GREY, markerfacecolor="white", markersize=8)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes.set_xlabel("expected to pass, % (80 % interval)")
    axes.set_title(f"Forecast from {report.runs} past runs, not measured")
