"""V over time: a step line in its band, as booked and by prices alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, colour
from qbench.service.reports.history.values import FrontierHistory, FrontierStep
from qbench.service.reports.values import Estimate


def paint(figure: Figure, report: FrontierHistory) -> None:
    """Paint one line per kind of step; V where it is finite, else the cheapest system."""
    axes = figure.subplots()
    measured = [step for step in report.steps if step.why == "measured"]
    prices = [step for step in report.steps if step.why == "prices"]
    _line(axes, measured, "as booked", 0)
    _line(axes, prices, "by prices alone", 1)
    if report.expert is not None:
        axes.axhline(float(report.expert.dollars), color=GREY, linestyle=":", label="expert")
    if axes.has_data():
        axes.legend(loc="best")
    axes.set_ylabel("dollars per right answer (95 % band)")
    axes.set_title(f"Frontier of {report.suite} over time")
    figure.autofmt_xdate()


def _line(axes: Axes, steps: Sequence[FrontierStep], name: str, place: int) -> None:
    infinite = any(step.value is None or math.isinf(step.value.value) for step in steps)
    told = [(step.at, step.best_cost if infinite else step.value) for step in steps]
    known = [(at, found) for at, found in told if found is not None]
    if not known:
        return
    what = "cheapest system" if infinite else "V"
    days: list[Any] = [at for at, _ in known]
    tone = colour(place)
    axes.step(
        days,
        [found.value for _, found in known],
        where="post",
        color=tone,
        marker="o",
        label=f"{what}, {name}",
    )
    ends = [_finite(found) for _, found in known]
    axes.fill_between(
        days,
        [low for low, _ in ends],
        [high for _, high in ends],
        step="post",
        color=tone,
        alpha=0.15,
    )


def _finite(found: Estimate) -> tuple[float, float]:
    """Return the interval; an open end is drawn at the value."""
    return found.low, found.high if math.isfinite(found.high) else found.value
