"""Runtime over generated tokens by prompt length, measured points and the fit through them."""

from __future__ import annotations

from matplotlib.figure import Figure

from qbench.cli.pictures.canvas import MARKERS, colour
from qbench.service.reports.efficiency.profile_values import Point, Profiled, Profiles

LINES = ("-", "--", ":", "-.")


def paint(figure: Figure, report: Profiles) -> None:
    """Paint seconds over generated tokens; a colour for each format, a line style for a prompt."""
    axes = figure.subplots()
    for place, row in enumerate(report.rows):
        for number, (prompt, points) in enumerate(_by_prompt(row).items()):
            outputs = [point.output for point in points]
            axes.plot(
                outputs,
                [point.fitted for point in points],
                color=colour(place),
                linestyle=LINES[number % len(LINES)],
                linewidth=1,
                label=f"{row.format}, prompt {prompt}",
            )
            axes.plot(
                outputs,
                [point.seconds for point in points],
                color=colour(place),
                linestyle="",
                marker=MARKERS[number % len(MARKERS)],
                markersize=5,
            )
    axes.set_xlabel("generated tokens")
    axes.set_ylabel("seconds, one request at a time")
    axes.set_title("Measured runtimes, and T = F(p) + (o - 1) g")
    axes.legend(fontsize=8)


def _by_prompt(row: Profiled) -> dict[int, list[Point]]:
    found: dict[int, list[Point]] = {}
    for point in row.fitted.points:
        found.setdefault(point.prompt, []).append(point)
    return found
