"""Frontiers: every system with its intervals, the staircase of the undominated, probabilities.

Two objectives make one plane, three make the plane of each pair, and groups a plane each. Members
are filled; a cost axis is logarithmic where systems differ by more than ten times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from qbench.cli.pictures.canvas import COLOURS, GREY, MARKERS, colour
from qbench.cli.pictures.labels import Named, place
from qbench.service.reports.frontier.values import Axis, Frontier, FrontierGroup, Point
from qbench.service.reports.values import Estimate

MARKS = {"emulated": "†", "weight-only fallback": "‡"}
WIDE = 10.0
"""Ratio of the dearest to the cheapest from which an axis is logarithmic."""
ACROSS = 3
"""Panels in a row."""
PANEL = (4.2, 3.7)
"""Inches of one of several panels."""
MOST_GROUPS = 9


def paint(figure: Figure, report: Frontier) -> None:
    """Paint one plane, or several."""
    planes = list(_planes(report))
    places, names = _places(report), _names(report)
    grid = _grid(figure, len(planes))
    drawn = [_panel(axes, plane, places, names) for axes, plane in zip(grid, planes, strict=True)]
    title = "Frontier, with the probability of being on it"
    if len(report.groups) > MOST_GROUPS:
        title += f" (the first {MOST_GROUPS} of {len(report.groups)})"
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel(_legend(report), x=0.01, ha="left", fontsize=8, color=GREY)
    figure.draw_without_rendering()  # settles the layout, in which names must find room
    for axes, (points, corners) in zip(grid, drawn, strict=True):
        place(axes, points, corners)


@dataclass(frozen=True)
class _Plane:
    found: Frontier | FrontierGroup
    across: Axis
    down: Axis
    title: str = ""
    first: bool = True
    """Whether probabilities stand in it."""
    gap: str = " "
    """Between a name and its probability."""


def _planes(report: Frontier) -> Iterator[_Plane]:
    if report.groups:
        for group in report.groups[:MOST_GROUPS]:
            yield _Plane(group, group.axes[1], group.axes[0], title=group.name, gap="\n")
    else:
        for number, (down, across) in enumerate(combinations(report.axes, 2)):
            gap = "\n" if len(report.axes) > 2 else " "
            yield _Plane(report, across, down, first=number == 0, gap=gap)


def _grid(figure: Figure, panels: int) -> list[Axes]:
    """Make the panels, in rows; a single one keeps the usual size."""
    across = min(ACROSS, panels)
    down = -(-panels // across)
    if panels > 1:
        figure.set_size_inches(PANEL[0] * across, PANEL[1] * down + 0.3)
    made = figure.subplots(down, across, squeeze=False).ravel()
    for unused in made[panels:]:
        unused.set_visible(False)
    return list(made[:panels])


def _places(report: Frontier) -> dict[str, int]:
    """Give every system one colour and mark in all panels."""
    every = (report.points, *(group.points for group in report.groups))
    labels = dict.fromkeys(point.label for points in every for point in points)
    return {label: place for place, label in enumerate(labels)}


def _names(report: Frontier) -> dict[str, str]:
    """Leave a model's name out where all systems have it."""
    labels = list(_places(report))
    models = {label.partition(" ")[0] for label in labels}
    return {
        label: label.partition(" ")[2] if len(models) == 1 and " " in label else label
        for label in labels
    }


def _panel(
    axes: Axes, plane: _Plane, places: Mapping[str, int], names: Mapping[str, str]
) -> tuple[list[Named], list[tuple[float, float]]]:
    """Draw the systems of a plane; return what they are called, and the staircase's corners."""
    across, down = plane.across, plane.down
    drawn = [point for point in plane.found.points if _drawable(point, (down, across))]
    named = []
    for point in drawn:
        x, y = _scaled(point.at[across.name], across), _scaled(point.at[down.name], down)
        _mark(axes, point, (x, y), places[point.label])
        text = f"{names[point.label]}{MARKS.get(point.path, '')}"
        if point.on_frontier is not None and plane.first:
            text += f"{plane.gap}{_percent(point.on_frontier)}"
        named.append(Named(text, x, y, _dark(colour(places[point.label]))))
    _axis(axes, drawn, across, down)
    axes.set_title(plane.title, fontsize=10)
    if len(plane.found.axes) > 2 or across.more or not down.more:
        return named, []
    members = [one for one, point in zip(named, drawn, strict=True) if point.undominated]
    corners = _staircase(axes, members)
    if isinstance(plane.found, Frontier):
        _asked(axes, plane.found, drawn)
    return named, corners


def _asked(axes: Axes, report: Frontier, drawn: Sequence[Point]) -> None:
    """Draw the budget, the accuracy to reach, and the edge without the systems taken away."""
    limits = axes.get_xlim(), axes.get_ylim()
    if report.at_budget:
        axes.axvline(report.at_budget.budget, color=GREY, linewidth=0.8, linestyle=":")
    if report.at_accuracy:
        axes.axhline(100 * report.at_accuracy.accuracy, color=GREY, linewidth=0.8, linestyle=":")
    if report.without:
        down, across = report.axes[:2]
        left = [point for point in drawn if point.label not in report.without.systems]
        ends = [(p.at[across.name].value, 100 * p.at[down.name].value) for p in left]
        corners = list(_corners(_edge(ends), limits[0][1]))
        if corners:
            name = f"without {report.without.pattern}"
            axes.plot(*zip(*corners, strict=True), color=GREY, linestyle="--", label=name, zorder=1)
            axes.legend(loc="lower right")
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def _edge(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the undominated, cheapest first."""
    return [
        one
        for one in sorted(points)
        if not any(o[0] <= one[0] and o[1] >= one[1] and o != one for o in points)
    ]


def _legend(report: Frontier) -> str:
    """Explain the marks that occur; hollow systems are beaten by the point estimates."""
    said = {p.path: p.caution for p in report.points if p.path in MARKS}
    marks = [
        f"{MARKS[path]} {path}" + (f": {caution}" if caution else "")
        for path, caution in said.items()
    ]
    return "\n".join(("; ".join(("hollow: dominated", *marks[:1])), *marks[1:]))


def _dark(shade: str) -> tuple[float, ...]:
    """Darken a mark's colour until words in it can be read."""
    return tuple(0.55 * part for part in to_rgb(shade))


def _percent(share: float) -> str:
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def _drawable(point: Point, axes: Sequence[Axis]) -> bool:
    return all(axis.name in point.at and math.isfinite(point.at[axis.name].value) for axis in axes)


def _scaled(one: Estimate, axis: Axis) -> tuple[float, float, float]:
    size = 100.0 if axis.more else 1.0
    high = one.high if math.isfinite(one.high) else one.value
    return size * one.value, size * one.low, size * high


def _mark(
    axes: Axes,
    point: Point,
    at: tuple[tuple[float, float, float], tuple[float, float, float]],
    place: int,
) -> None:
    x, y = at
    axes.errorbar(
        x[0],
        y[0],
        xerr=[[x[0] - x[1]], [x[2] - x[0]]],
        yerr=[[y[0] - y[1]], [y[2] - y[0]]],
        fmt=MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
        color=colour(place),
        markerfacecolor=colour(place) if point.undominated else "white",
        elinewidth=1,
        capsize=2,
        markersize=6.5,
        alpha=1.0 if point.undominated else 0.75,
        zorder=3,
    )


def _axis(axes: Axes, points: Sequence[Point], across: Axis, down: Axis) -> None:
    for axis, scale, said in (
        (across, axes.set_xscale, axes.set_xlabel),
        (down, axes.set_yscale, axes.set_ylabel),
    ):
        values = [point.at[axis.name].value for point in points]
        if not axis.more and values and min(values) > 0 and max(values) > WIDE * min(values):
            scale("log")
        said(_title(axis))
    axes.margins(0.16, 0.16)
    if down.more:
        low, high = axes.get_ylim()
        axes.set_ylim(max(-2.0, low), min(108.0, high))
    for axis, ticks in ((across, axes.xaxis), (down, axes.yaxis)):
        if axis.unit.startswith("$"):
            ticks.set_major_formatter(FuncFormatter(_dollars))


def _dollars(amount: float, _: int) -> str:
    return f"${amount:.4g}"


def _title(axis: Axis) -> str:
    if axis.more:
        return "passed, %"
    if axis.unit.startswith("$"):
        return (
            axis.unit.replace("$", "dollars ")
            .replace("dollars /", "dollars per ")
            .replace("/", " per ")
        )
    unit = axis.unit.replace("/", " per ")
    return unit if unit.startswith(axis.name.rpartition("-")[2]) else f"{axis.name}, {unit}"


def _staircase(axes: Axes, members: Sequence[Named]) -> list[tuple[float, float]]:
    """Draw the edge of what members command: nobody is known beyond it."""
    limits = axes.get_xlim(), axes.get_ylim()
    ordered = sorted((one.x[0], one.y[0]) for one in members)
    corners = list(_corners(ordered, limits[0][1]))
    if corners:
        xs, ys = zip(*corners, strict=True)
        axes.plot(xs, ys, color=GREY, linewidth=1, zorder=1)
        axes.fill_between(xs, ys, limits[1][0], color=GREY, alpha=0.07, linewidth=0, zorder=0)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    return corners


def _corners(members: Sequence[tuple[float, float]], end: float) -> Iterator[tuple[float, float]]:
    before = None
    for x, y in members:
        if before is not None:
            yield x, before
        yield x, y
        before = y
    if before is not None:
        yield end, before
