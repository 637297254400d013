"""What pictures are painted on: one size, one look, the same bytes for the same report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qbench.errors import ConfigError

INCHES = (7.2, 4.5)
DPI = 160

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
"""Told apart by colour-blind readers too (Okabe and Ito)."""
MARKERS = "osD^vPX*"
GREY = "#6b6b6b"

LOOK: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "qbench",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}


def save(paint: Callable[[Figure, Any], None], report: Any, path: Path) -> None:
    """Paint ``report`` and write it. Raises ConfigError where the file cannot be written."""
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=INCHES, layout="constrained")
        paint(figure, report)
        try:
            figure.savefig(path, dpi=DPI, metadata=_undated(path))
        except OSError as error:
            raise ConfigError(
                f"Cannot write {path}: {error.strerror}.", hint="Name a file in a folder of yours."
            ) from None


def _undated(path: Path) -> dict[str, None]:
    """Leave the date out where a format would write one."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def colour(place: int) -> str:
    """Return the colour of the system at ``place``."""
    return COLOURS[place % len(COLOURS)]


def whiskers(
    axes: Axes, x: tuple[float, float, float], y: tuple[float, float, float], place: int
) -> None:
    """Mark a point with its intervals in both directions; each is (value, low, high)."""
    spread = [[[one[0] - one[1]], [one[2] - one[0]]] for one in (x, y)]
    axes.errorbar(
        x[0],
        y[0],
        xerr=spread[0],
        yerr=spread[1],
        fmt=MARKERS[place % len(MARKERS)],
        color=colour(place),
        ecolor=colour(place),
        elinewidth=1,
        capsize=2,
        markersize=6,
    )


def said(axes: Axes, text: str, at: tuple[float, float]) -> None:
    """Name a point of the data beside it."""
    axes.annotate(text, at, xytext=(6, 6), textcoords="offset points", fontsize=9)
