"""How much of the plane a frontier commands: exact hypervolume in two and three objectives.

The hypervolume (Zitzler and Thiele 1999) is what lies between the frontier and a reference point
that nobody should be worse than. It is told as a share of the box from an ideal point to the
reference, so that units do not matter: 0 when everybody is beyond the reference, 1 when somebody
reaches the ideal. Losses are (B, Y, D), smaller is better, as in ``pareto``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sums import Floats


def in_box(losses: Floats, ideal: Floats, reference: Floats) -> Floats:
    """Scale (B, Y, D) losses so that the (D,) ideal is 0 and the (D,) reference is 1.

    What is better than the ideal is cut to it. A system that is not better than the reference in
    every objective, or has an unknown loss, commands nothing: it becomes 1 throughout.

    Raises:
        ValueError: a reference that is not worse than the ideal, or not finite.

    """
    if not (np.isfinite(ideal) & np.isfinite(reference) & (reference > ideal)).all():
        raise ValueError("the reference must be worse than the ideal in every objective")
    with np.errstate(over="ignore"):
        scaled = np.maximum((losses - ideal) / (reference - ideal), 0.0)
    inside = np.all(scaled < 1, axis=2, keepdims=True)
    return np.where(inside, scaled, 1.0)


def volumes(box: Floats) -> Floats:
    """Return (B,) shares of the box that (B, Y, D) points command, D being 2 or 3.

    Raises:
        ValueError: another number of objectives.

    """
    if box.shape[2] == 2:
        return _areas(*_by_first(box))
    if box.shape[2] != 3:
        raise ValueError(f"hypervolume is made for 2 or 3 objectives, not {box.shape[2]}")
    first, second, third = _by_first(box)
    levels = np.sort(third, axis=1)
    heights = np.diff(levels, axis=1, append=1.0)
    total = np.zeros(len(box))
    for place in range(box.shape[1]):  # between two levels, those below them command an area
        below = np.where(third <= levels[:, [place]], second, 1.0)
        total += heights[:, place] * _areas(first, below)
    return total


def contributions(box: Floats, candidates: NDArray[np.bool_]) -> Floats:
    """Return (B, Y): what the box loses without each system.

    Args:
        box: points as ``in_box`` makes them.
        candidates: (Y,) systems that are a member in some resample; the others lose nothing.

    """
    whole, found = volumes(box), np.zeros(box.shape[:2])
    for system in np.flatnonzero(candidates):
        found[:, system] = whole - volumes(np.delete(box, system, axis=1))
    return np.maximum(found, 0.0)


def _by_first(box: Floats) -> tuple[Floats, ...]:
    """Return the columns of (B, Y, D), each ordered by the first one."""
    order = np.argsort(box[:, :, 0], axis=1, kind="stable")
    return tuple(np.take_along_axis(box[:, :, d], order, axis=1) for d in range(box.shape[2]))


def _areas(first: Floats, second: Floats) -> Floats:
    """Return (B,) areas commanded by points in ascending order of ``first``."""
    widths = np.diff(first, axis=1, append=1.0)
    commanded: Floats = 1.0 - np.minimum.accumulate(second, axis=1)
    return np.asarray(np.einsum("by,by->b", widths, commanded), dtype=np.float64)
