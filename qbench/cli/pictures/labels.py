"""Names beside points, placed so that they cover neither each other nor what is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from qbench.cli.pictures.canvas import GREY

DISTANCES = (9.0, 16.0, 26.0, 40.0, 58.0)
"""Points (1/72 inch) from the mark to the label's nearest side, nearest first."""
ANGLES = tuple(
    math.radians(angle) for angle in (35, 145, -35, -145, 90, -90, 0, 180, 60, 120, -60, -120)
)
LINE = 16.0
"""Distance from which a thin line leads to the label."""
MARK = 5.0
"""Half a mark's width."""
THIN = 2.0
"""Half of what a line needs for itself."""
ON_NAME, ON_MARK, ON_LINE, OUTSIDE = 12.0, 20.0, 4.0, 8.0
"""How bad it is to cover these, or to stand outside."""
HALO = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.6}
"""Keeps a name legible where nothing but a line is left to stand on; words stay words in SVG."""


@dataclass(frozen=True)
class Named:
    """A point with its whiskers, in data coordinates, and its name."""

    text: str
    x: tuple[float, float, float]
    """Value, low, high."""
    y: tuple[float, float, float]
    colour: Any = "#333333"


def place(axes: Axes, points: Sequence[Named], line: Sequence[tuple[float, float]] = ()) -> None:
    """Write names; call it last, when limits and layout are settled.

    Names are placed one by one, the most crowded point first, each where it covers the least:
    other names, marks and whiskers, a ``line`` through corners, and what is outside the axes.
    """
    taken = [(box, heavy) for point in points for box, heavy in _drawn(axes, point)]
    taken += [(_edge(axes, *ends), ON_LINE) for ends in pairwise(line)]
    names: list[Bbox] = []
    for point in sorted(points, key=lambda one: -_crowd(axes, one, points)):
        note = _note(axes, point)
        tries = _tries(axes, note, point)
        costs = [_covered(axes, box, taken, names) + 0.02 * far for far, box, _ in tries]
        far, box, shift = tries[costs.index(min(costs))]
        note.set_position(shift)
        if far >= LINE:
            _lead(axes, point, shift)
        names.append(box)


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    at = axes.transData.transform((x, y))
    return float(at[0]), float(at[1])


def _scale(axes: Axes) -> float:
    figure = axes.figure
    return float(figure.dpi) / 72 if figure is not None else 1.0


def _drawn(axes: Axes, point: Named) -> list[tuple[Bbox, float]]:
    """Return what a mark and its whiskers cover, and how bad it is to cover that."""
    (x, y), size = _pixels(axes, point.x[0], point.y[0]), MARK * _scale(axes)
    thin = THIN * _scale(axes)
    left, right = (_pixels(axes, end, point.y[0])[0] for end in point.x[1:])
    low, high = (_pixels(axes, point.x[0], end)[1] for end in point.y[1:])
    return [
        (Bbox.from_extents(x - size, y - size, x + size, y + size), ON_MARK),
        (Bbox.from_extents(left, y - thin, right, y + thin), ON_LINE),
        (Bbox.from_extents(x - thin, low, x + thin, high), ON_LINE),
    ]


def _edge(axes: Axes, one: tuple[float, float], two: tuple[float, float]) -> Bbox:
    """Return what a level or upright line covers."""
    (left, low), (right, high) = _pixels(axes, *one), _pixels(axes, *two)
    thin = THIN * _scale(axes)
    return Bbox.from_extents(
        min(left, right) - thin,
        min(low, high) - thin,
        max(left, right) + thin,
        max(low, high) + thin,
    )


def _crowd(axes: Axes, point: Named, points: Sequence[Named]) -> float:
    x, y = _pixels(axes, point.x[0], point.y[0])
    gaps = [math.dist((x, y), _pixels(axes, o.x[0], o.y[0])) for o in points if o is not point]
    return sum(1 / (1 + gap) for gap in gaps)


def _note(axes: Axes, point: Named) -> Annotation:
    made = axes.annotate(
        point.text,
        (point.x[0], point.y[0]),
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=8.5,
        color=point.colour,
        bbox=HALO,
        ha="center",
        va="center",
        linespacing=1.1,
        zorder=5,
    )
    made.set_in_layout(False)
    return made


def _tries(
    axes: Axes, note: Annotation, point: Named
) -> list[tuple[float, Bbox, tuple[float, float]]]:
    """Return distances, boxes in pixels and shifts in points of where a name could stand."""
    extent, scale = note.get_window_extent(), _scale(axes)
    wide, high = extent.width / 2, extent.height / 2
    x, y = _pixels(axes, point.x[0], point.y[0])
    found = []
    for far in DISTANCES:
        for angle in ANGLES:
            across = math.cos(angle) * far * scale + wide * _side(math.cos(angle))
            up = math.sin(angle) * far * scale + high * _side(math.sin(angle))
            box = Bbox.from_extents(
                x + across - wide, y + up - high, x + across + wide, y + up + high
            )
            found.append((far, box, (across / scale, up / scale)))
    return found


def _side(part: float) -> int:
    """Tell on which side of a point a name stands: before, at, or behind it."""
    return 0 if abs(part) < 0.3 else int(math.copysign(1, part))


def _covered(
    axes: Axes, box: Bbox, taken: Sequence[tuple[Bbox, float]], names: Sequence[Bbox]
) -> float:
    """Return how much of what matters a box covers, in shares of its own size."""
    own = max(1.0, box.width * box.height)
    lost = OUTSIDE * (own - _shared(box, axes.bbox))
    lost += ON_NAME * sum(_shared(box, other) for other in names)
    return (lost + sum(heavy * _shared(box, other) for other, heavy in taken)) / own


def _shared(one: Bbox, two: Bbox) -> float:
    both = Bbox.intersection(one, two)
    return 0.0 if both is None else float(both.width * both.height)


def _lead(axes: Axes, point: Named, shift: tuple[float, float]) -> None:
    """Draw a thin line from a mark to its name."""
    line = axes.annotate(
        "",
        (point.x[0], point.y[0]),
        xytext=shift,
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 7, "shrinkB": 4},
        zorder=2,
    )
    line.set_in_layout(False)
