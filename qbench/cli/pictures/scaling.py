"""Coverage over attempts, and over what they cost, with the bands of their intervals."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qbench.cli.pictures.canvas import GREY, MARKERS, colour
from qbench.service.reports.scaling.values import Depth, Scaling, SystemScaling


def paint(figure: Figure, report: Scaling) -> None:
    """Paint coverage (%) over k, and beside it over cost where a cost is known."""
    priced = [one for one in report.systems if one.depths[0].cost is not None]
    left, right = (*figure.subplots(1, 2 if priced else 1, squeeze=False, sharey=True)[0], None)[:2]
    for place, one in enumerate(report.systems):
        _curve(left, one, [depth.k for depth in one.depths], place)
        _fit(left, one, place)
    left.set_xscale("log", base=2)
    left.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _axis(left, "attempts at a sample, k")
    left.set_ylabel("passed by at least one, %")
    left.set_title("Coverage (a perfect verifier)")
    if right is not None:
        for place, one in enumerate(report.systems):
            if one in priced:
                _curve(right, one, [_cost(depth) for depth in one.depths], place)
        right.xaxis.set_major_locator(MaxNLocator(5))
        _axis(right, f"{report.unit} per sample\nstopping at the first right one")
    if report.systems:
        left.legend(loc="lower right", fontsize=8)


def _cost(depth: Depth) -> float:
    assert depth.cost is not None
    return depth.cost.value


def _curve(axes: Axes, one: SystemScaling, x: list[float], place: int) -> None:
    shares = [depth.coverage for depth in one.depths]
    marker, shade = MARKERS[place % len(MARKERS)], colour(place)
    values = [100 * share.value for share in shares]
    axes.plot(x, values, color=shade, marker=marker, markersize=4, label=one.label)
    low, high = ([100 * getattr(share, end) for share in shares] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=shade, alpha=0.15, linewidth=0)


def _fit(axes: Axes, one: SystemScaling, place: int) -> None:
    """Mark where the fit levels off."""
    if one.saturation is not None:
        most = 100 * one.saturation.most.value
        axes.axhline(most, color=colour(place), linewidth=0.8, linestyle=":")


def _axis(axes: Axes, name: str) -> None:
    axes.set_xlabel(name)
    axes.tick_params(axis="x", colors=GREY)
