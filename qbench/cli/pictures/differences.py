"""Forest plots: differences with their intervals on a band that is the margin."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import COLOURS, GREY
from qbench.service.reports.comparison.values import Comparison, Pairs
from qbench.service.reports.values import Estimate

HEIGHT = 0.32
"""Inches of a row."""
VERDICTS = {"worse": COLOURS[1], "better": COLOURS[2], "equivalent": COLOURS[0]}


def comparison(figure: Figure, report: Comparison) -> None:
    """Paint two systems by every method, and part by part."""
    rows = [(m.name, m.difference, GREY) for m in report.methods if m.difference is not None]
    if report.belief is not None:
        rows.append(("Dirichlet posterior", report.belief.difference, GREY))
    rows += [(part.name, part.difference, COLOURS[0]) for part in report.slices]
    title = f"{report.first} minus {report.second}: {report.verdict.kind}"
    _forest(figure, rows, report.margin, title)


def pairs(figure: Figure, report: Pairs) -> None:
    """Paint every pair, coloured by its verdict."""
    rows = [
        (
            f"{pair.first} - {pair.second}",
            pair.verdict.difference,
            VERDICTS.get(pair.verdict.kind, GREY),
        )
        for pair in report.pairs
        if pair.verdict.difference is not None
    ]
    _forest(figure, rows, report.margin, f"All pairs, {report.correction}-corrected")


def _forest(
    figure: Figure, rows: Sequence[tuple[str, Estimate, str]], margin: float, title: str
) -> None:
    figure.set_figheight(max(figure.get_figheight(), 1.2 + HEIGHT * len(rows)))
    axes = figure.subplots()
    axes.axvspan(-100 * margin, 100 * margin, color=COLOURS[0], alpha=0.08, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1)
    for place, (_, gap, colour) in enumerate(rows):
        value = 100 * gap.value
        ends = [[value - 100 * gap.low], [100 * gap.high - value]]
        axes.errorbar(value, place, xerr=ends, fmt="o", color=colour, elinewidth=1, capsize=2)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"points, 95 %; band: margin of {100 * margin:g}")
    axes.set_title(title)
