"""A cascade's pass rate over dollars, as its threshold moves."""

from __future__ import annotations

from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, colour
from qbench.service.reports.cascade.values import CascadeReport


def paint(figure: Figure, report: CascadeReport) -> None:
    """Paint the curve, and the three policies with their intervals."""
    axes = figure.subplots()
    line = [point for point in report.curve if point.cost]
    costs = [point.cost.value for point in line if point.cost]
    axes.plot(costs, [100 * p.pass_rate.value for p in line], color=GREY, marker=".", label="curve")
    for place, one in enumerate(report.policies):
        rate = one.pass_rate
        if one.cost is not None:
            below, above = rate.value - rate.low, rate.high - rate.value
            axes.errorbar(
                [one.cost.value],
                [100 * rate.value],
                yerr=[[100 * below], [100 * above]],
                color=colour(place),
                marker="o",
                label=one.name,
            )
    axes.set_xlabel("$ per question")
    axes.set_ylabel("passed, %")
    axes.legend(fontsize=8)
