"""Who is undominated in any objectives, how surely, and where the knee is.

Draws are (B, Y, D) *losses*: B resamples, Y systems, D objectives, smaller is better, NaN unknown.
Everything here knows neither units nor the order of systems and objectives. A system with an
unknown loss is never a member and beats nobody; equal systems stay together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sums import Floats

Bools = NDArray[np.bool_]

BLOCK = 1_000
"""Resamples at a time: what is compared stays in the processor's cache."""
ROUNDING = 1e-9
"""Distances to the chord up to this are rounding."""


def losses(*objectives: tuple[Floats, bool]) -> Floats:
    """Stack objectives, each (B, Y) with whether more is better, into (B, Y, D) losses."""
    return np.stack([-values if more else values for values, more in objectives], axis=-1)


def members(losses: Floats) -> Bools:
    """Return (B, Y): whom no other one beats, at least as good in all objectives, better in one."""
    found: Bools = np.logical_not(np.isnan(losses).any(axis=2))
    for at, beaten in _beaten(losses):
        found[at] &= ~beaten
    return found


def dominance(losses: Floats) -> Floats:
    """Return (Y, Y): in what share of resamples the system of the row beats that of the column."""
    resamples, systems, _ = losses.shape
    found = np.zeros((systems, systems))
    for place, (_, beaten) in enumerate(_beaten(losses)):
        found[place % systems] += beaten.sum(axis=0)
    return np.asarray(found / max(1, resamples), dtype=np.float64)


def _beaten(losses: Floats) -> Iterator[tuple[slice, Bools]]:
    """Yield, for every block of resamples and every system in turn, whom it beats there."""
    resamples, systems, objectives = losses.shape
    for start in range(0, resamples, BLOCK):
        at = slice(start, start + BLOCK)
        columns = [np.ascontiguousarray(losses[at, :, place]) for place in range(objectives)]
        for system in range(systems):
            yield at, _beats(columns, system)


def _beats(columns: Sequence[Floats], system: int) -> Bools:
    no_worse = np.ones(columns[0].shape, dtype=np.bool_)
    better = np.zeros(columns[0].shape, dtype=np.bool_)
    for column in columns:
        mine = column[:, [system]]
        no_worse &= mine <= column
        better |= mine < column
    return no_worse & better


def knees(losses: Floats, members: Bools) -> Bools:
    """Return (B, Y): the member farthest from the chord of the normalised frontier.

    Losses are scaled to 0 (best member) and 1 (worst member) per objective. In two objectives the
    chord joins the two ends, where the scaled losses add up to 1; in D objectives it is the plane
    on which they add up to D - 1. The knee has the smallest sum, and a frontier on which nobody
    stays below that plane (two members, or one that bulges away) has none. Equal systems are knees
    together; members with an infinite loss are left out.
    """
    counted = (members & np.isfinite(losses).all(axis=2))[:, :, None]
    best = np.where(counted, losses, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    worst = np.where(counted, losses, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        span = worst - best
        scaled = (losses - best) / np.where(span > 0, span, 1.0)
    total = np.where(counted[:, :, 0], scaled.sum(axis=2), np.inf)
    least = total.min(axis=1, keepdims=True, initial=np.inf)
    inside = least < losses.shape[2] - 1 - ROUNDING
    found: Bools = inside & (total <= least + ROUNDING)
    return found
