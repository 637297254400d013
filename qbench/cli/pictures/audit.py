"""A published table: every row's accuracy with its interval, over dollars where they are known."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import GREY, said, whiskers
from qbench.service.reports.audit.values import Audit, AuditRow

MOST = 4
"""Groups that are painted side by side; the first ones."""


def paint(figure: Figure, report: Audit) -> None:
    """Paint pass rate (%) by group: over dollars per attempt, else by row."""
    priced = [row for row in report.rows if row.cost is not None]
    rows = priced or list(report.rows)
    groups = list(dict.fromkeys(row.group for row in rows))[:MOST]
    panels = figure.subplots(1, max(1, len(groups)), sharey=True, squeeze=False)[0]
    for axes, group in zip(panels, groups, strict=False):
        chosen = [row for row in rows if row.group == group]
        _group(axes, chosen, group, priced=bool(priced))
    panels[0].set_ylabel("passed, %")
    figure.suptitle(report.table)


def _group(axes: Axes, rows: Sequence[AuditRow], group: str, *, priced: bool) -> None:
    for place, row in enumerate(rows):
        x = row.cost if row.cost is not None else float(place + 1)
        rate = 100 * (row.accuracy or 0.0)
        low = rate if row.low is None else 100 * row.low
        high = rate if row.high is None else 100 * row.high
        whiskers(axes, (x, x, x), (rate, low, high), place)
        if priced:
            said(axes, row.system, (x, rate))
    line = sorted((row.cost or 0.0, 100 * (row.accuracy or 0.0)) for row in rows if row.undominated)
    if line:
        axes.plot(*zip(*line, strict=True), color=GREY, linewidth=1, linestyle="--", zorder=0)
    axes.set_xlabel("dollars per attempt" if priced else "row")
    axes.set_title(group)
