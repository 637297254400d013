"""Recall over k, one line for each retriever and size, with the bands of its interval."""

from __future__ import annotations

from matplotlib.figure import Figure

from qbench.benchmarks.suites.tools_at_scale.recall import Recall, Row
from qbench.cli.pictures.canvas import MARKERS, colour

DASHES = ("-", "--", "-.", ":")


def paint(figure: Figure, report: Recall) -> None:
    """Paint recall (%) over k, and beside it over the tokens that are offered."""
    left, right = figure.subplots(1, 2, sharey=True)
    for row in report.rows:
        if row.words:
            continue
        style = {
            "color": colour(report.asked.retrievers.index(row.retriever)),
            "linestyle": DASHES[report.asked.tools.index(row.tools) % len(DASHES)],
            "marker": MARKERS[report.asked.tools.index(row.tools) % len(MARKERS)],
            "markersize": 4,
        }
        values = [100 * at.recall.value for at in row.at]
        left.plot(report.asked.ks, values, label=f"{row.retriever}, {row.tools:,}", **style)
        left.fill_between(report.asked.ks, *_band(row), color=style["color"], alpha=0.08)
        right.plot([at.tokens for at in row.at], values, **style)
    left.set_xlabel("tools offered, k")
    left.set_ylabel("needed tools among them, %")
    left.set_title("Recall@k")
    right.set_xlabel("prompt tokens of the offered specs")
    right.set_title("and what it costs")
    figure.legend(loc="outside lower center", ncols=max(2, len(report.asked.tools)), fontsize=8)


def _band(row: Row) -> tuple[list[float], list[float]]:
    return [100 * at.recall.low for at in row.at], [100 * at.recall.high for at in row.at]
