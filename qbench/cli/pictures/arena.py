"""Elo with its interval, best on top; open ends are arrows."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, colour, said
from qbench.service.reports.arena.values import Arena


def paint(figure: Figure, report: Arena) -> None:
    """Paint one line per system."""
    axes = figure.subplots()
    for place, row in enumerate(report.rows):
        value = row.rating.value
        low = row.rating.low if math.isfinite(row.rating.low) else value
        high = row.rating.high if math.isfinite(row.rating.high) else value
        axes.errorbar(
            value,
            place,
            xerr=[[value - low], [high - value]],
            fmt="o",
            color=colour(0 if row.verdict != "baseline" else 1),
            capsize=2,
        )
        if math.isinf(row.rating.high):
            said(axes, "→ ∞", (value, place))
        if math.isinf(row.rating.low):
            said(axes, "-∞ ←", (value, place))
    axes.set_yticks(range(len(report.rows)), [row.label for row in report.rows])
    axes.invert_yaxis()
    axes.axvline(1000, color=GREY, linestyle=":")
    axes.set_xlabel(f"Elo, mean 1000 ({report.matches:,} matches; 95 % intervals)")
    axes.set_title(f"Arena: judged by {report.judge.model}")
