"""The cheapest way to each right answer, over many sets of systems and resamples at once.

Erol et al., arXiv 2504.13359: V_p(M) is the minimum of v over the systems M and the expert
(Eqs. 3-5), V(M) its mean over problems (Eq. 8). **The minimum comes first, the mean second.**
Infinity is a value: one problem that nobody solves at any price makes V infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.resampling import (
    RESAMPLES,
    expanded,
    percentile_interval,
    weights,
)
from qbench.benchmarks.analysis.sums import Floats

Members = NDArray[np.bool_]
"""(R, Y): which of Y systems belong to each of R sets."""


def lowest(v: Floats, members: Members, expert: float = np.inf) -> Floats:
    """Return (R, S) V_p of R sets of systems and the expert; an empty set leaves the expert.

    Args:
        v: (Y, S) dollars per right answer; infinity where a system never passed.
        members: (R, Y) sets of systems.
        expert: dollars of an expert's answer; infinity where there is none.

    Raises:
        ValueError: a system lacks a problem (NaN).

    """
    if np.isnan(v).any():
        raise ValueError("a system has no record for a problem: run it, or leave the problem out")
    shape = (len(members), v.shape[1])
    rows = [np.minimum.reduce(v[chosen], axis=0, initial=expert) for chosen in members]
    return np.stack(rows) if rows else np.zeros(shape)


def cheapest(v: Floats, expert: float = np.inf) -> Floats:
    """Return (Y, S) who is the cheapest on each problem: 1, split evenly among equals, or 0.

    0 for all where the expert is cheaper or nobody has a finite v. The expert wins no ties.
    """
    least = np.minimum.reduce(v, axis=0, initial=np.inf)
    wins = (v == least) & np.isfinite(least) & (least <= expert)
    return np.asarray(wins / np.maximum(1, wins.sum(axis=0)), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """R means over S samples in G families, with their bootstrap."""

    means: Floats
    """(R,)."""
    draws: Floats
    """(B, R): whole families drawn with replacement, all rows alike."""
    families: int
    """G."""

    def interval(self, row: int) -> tuple[float, float]:
        """Return the 95 % percentile interval of a row; infinity is a value."""
        return self.spread(self.draws[:, row])

    def spread(self, draws: Floats) -> tuple[float, float]:
        """Return the 95 % interval of what was made of the draws: a difference, a share."""
        return percentile_interval(draws, expanded(self.families))


def drawn_means(
    values: Floats, family: NDArray[np.integer[Any]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled:
    """Return the means of (R, S) values and their family bootstrap.

    Each resample is a product of how often families were drawn with the families' sums, so no
    resample looks at a sample. Infinite values are counted apart: a resample that holds one has
    an infinite mean, one that does not has a finite one.

    Args:
        values: no NaN; at least one sample.
        family: (S,) family of each sample, any integers.
        resamples: B.
        seed: of the draws; equal seeds and families draw alike.

    """
    _, group, size = np.unique(family, return_inverse=True, return_counts=True)
    endless = np.isinf(values)
    finite = _by_group(np.where(endless, 0.0, values), group, len(size))
    some = endless.any(axis=1)
    never = _by_group(endless[some].astype(np.float64), group, len(size))
    made = []
    for block in weights(len(size), resamples=resamples, seed=seed):
        drawn = (block @ finite.T) / (block @ size)[:, None]
        drawn[:, some] = np.where(block @ never.T > 0, np.inf, drawn[:, some])
        made.append(drawn)
    return Resampled(means=values.mean(axis=1), draws=np.concatenate(made), families=len(size))


def _by_group(values: Floats, group: NDArray[np.intp], groups: int) -> Floats:
    """Add (R, S) values up by group; returns (R, G)."""
    if not len(values):
        return np.zeros((0, groups))
    return np.stack([np.bincount(group, row, groups) for row in values])


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What an answer can cost."""

    expert: float
    """Dollars at most; infinity where there is no expert."""
    attempt: float
    """Dollars at least: of the cheapest single attempt."""


HANDFUL = 5
"""Families at (or away from) the expert below which percentiles are lumps."""


def value_interval(
    value: float, drawn: tuple[float, float], families: int, *, at_expert: float, bounds: Bounds
) -> tuple[float, float]:
    """Return the 95 % interval of a V from its bootstrap and from what a bootstrap cannot see.

    Where no problem in the data needed the expert, a share of up to 1 - 0.025^(1/G) of all
    problems may; where all did, as many may not. With fewer than a ``HANDFUL`` of families on one
    side the exact limits of that share (Clopper-Pearson over families) widen the interval alike.
    A single family says nothing.

    Args:
        value: V over the problems.
        drawn: its percentile interval.
        families: G.
        at_expert: share of the problems whose V_p is the expert's.
        bounds: the dearest and the cheapest answer there is.

    """
    low, high = drawn
    if not np.isfinite(bounds.expert):
        return low, high
    if families < 2:
        return min(bounds.attempt, bounds.expert), bounds.expert
    count = at_expert * families
    if min(count, families - count) >= HANDFUL:
        return low, high
    least, most = share_limits(count, families)
    step = max(0.0, bounds.expert - bounds.attempt)
    if at_expert < 1:
        step = (bounds.expert - value) / (1 - at_expert)
    return (
        min(low, value - (at_expert - least) * step),
        max(high, value + (most - at_expert) * step),
    )


def share_limits(count: float, n: int) -> tuple[float, float]:
    """Return the exact 95 % limits of a share, ``count`` of ``n`` (Clopper and Pearson 1934).

    ``count`` may be a sum of shares.
    """
    low = float(special.betaincinv(count, n - count + 1, 0.025)) if count > 0 else 0.0
    high = float(special.betaincinv(count + 1, n - count, 0.975)) if count < n else 1.0
    return low, high


ROUNDING = 1e-12
"""Differences below this share of V come from the order of its sums."""


def gains(before: Floats | float, after: Floats | float) -> Floats:
    """Return V_before - V_after (Eq. 9); 0 where both are infinite: nothing was gained."""
    one, two = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    return _fall(one, two)


def shares(before: Floats | float, after: Floats | float) -> Floats:
    """Return (V_before - V_after) / V_before: relative gain, essentialness, technique benefit.

    1 where an infinite V becomes finite (the limit), 0 where both are infinite or both are 0.
    """
    one, two = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(one > 0, _fall(one, two) / one, 0.0)
    return np.where(np.isinf(one), np.where(np.isinf(two), 0.0, 1.0), share)


def _fall(one: Floats, two: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        fall = np.where(np.isinf(one) & np.isinf(two), 0.0, one - two)
    small = np.isfinite(one) & (np.abs(fall) <= ROUNDING * np.abs(one))
    return np.where(small, 0.0, fall)
