"""The accuracy-cost plane: every system with its intervals, a line through the undominated."""

from __future__ import annotations

from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, said, whiskers
from qbench.service.reports.values import Estimate, Frontier


def paint(figure: Figure, report: Frontier) -> None:
    """Paint pass rate (%) over dollars per attempt."""
    axes = figure.subplots()
    for place, point in enumerate(report.points):
        rate, cost = _scaled(point.pass_rate, 100), _scaled(point.cost, 1)
        whiskers(axes, cost, rate, place)
        said(axes, f"{point.label} {100 * point.on_frontier:.0f} %", (cost[0], rate[0]))
    line = [(p.cost.value, 100 * p.pass_rate.value) for p in report.points if p.undominated]
    axes.plot(*zip(*line, strict=True), color=GREY, linewidth=1, linestyle="--", zorder=0)
    axes.set_xlabel(f"dollars per attempt ({report.basis})")
    axes.set_ylabel("passed, %")
    axes.set_title("Frontier, with the probability of being on it")


def _scaled(one: Estimate, factor: float) -> tuple[float, float, float]:
    return factor * one.value, factor * one.low, factor * one.high
