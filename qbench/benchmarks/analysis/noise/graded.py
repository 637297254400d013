"""Pass or fail beside a score in between: which of them tells two systems apart sooner.

Continuous scores of the same answers have less noise for their signal (Madaan et al., arXiv
2406.10229); how much less is measured here, and needs no attempt more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import clustered_mean
from qbench.benchmarks.analysis.comparison.paired import widened
from qbench.benchmarks.analysis.design import for_difference
from qbench.benchmarks.analysis.resampling import (
    RESAMPLES,
    expanded,
    percentile_interval,
    weights,
)
from qbench.benchmarks.analysis.sums import Floats

ROUNDING = 1e-12
"""Differences of mean scores up to this are ties."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """A paired difference in some score, and how many samples it takes to see it."""

    difference: float
    interval: tuple[float, float]
    """95 %, between families; never of width zero."""
    snr: float
    """|difference| / deviation of the samples' differences; NaN where there is neither."""
    needed: int | None
    """Samples that show the difference at 80 % power, if it is the truth; None without one."""
    n: int


def power(system: Floats, baseline: Floats, family: NDArray[np.int32]) -> Power | None:
    """Compare (S,) scores on the samples that both know; None where that is nowhere."""
    mean = clustered_mean(system - baseline, family)
    if not mean.n:
        return None
    spread, gap = mean.error * math.sqrt(mean.n), abs(mean.value)
    needed = math.ceil(for_difference(gap, spread**2)) if gap and spread > 0 else None
    return Power(
        difference=mean.value,
        interval=widened(mean, 0.95),
        snr=gap / spread if spread > 0 else math.nan,
        needed=needed,
        n=mean.n,
    )


def steadiness(repeats: Floats) -> float | None:
    """Return mean / std (ddof 1) of a score measured again; None where it cannot be told.

    The signal-to-noise ratio of arXiv 2406.10229, over runs here instead of seeds.
    """
    if len(repeats) < 2:
        return None
    spread = float(np.std(repeats, ddof=1))
    return float(np.mean(repeats)) / spread if spread > 1e-12 else math.inf


def monotone(
    scores: Floats,
    level: NDArray[np.int32],
    family: NDArray[np.int32],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, tuple[float, float]] | None:
    """Return Kendall's tau-b of difficulty level and mean score, with its 95 % interval.

    -1: every level is harder than the one before. The paper of ``steadiness`` orders training
    steps in this way. The interval is over families of samples. None with fewer than 3 levels, or
    where all levels score alike.

    Args:
        scores: (S,), NaN where unknown.
        level: (S,).
        family: (S,).
        resamples: of families.
        seed: of the resamples.

    """
    known = ~np.isnan(scores)
    levels, at = np.unique(level[known], return_inverse=True)
    _, group = np.unique(family[known], return_inverse=True)
    if len(levels) < 3:
        return None
    shape = (int(group.max()) + 1, len(levels))
    place = group * len(levels) + at
    total = np.bincount(place, scores[known], shape[0] * shape[1]).reshape(shape)
    number = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    whole = total.sum(axis=0) / number.sum(axis=0)
    found = _tau(whole[None, :])
    if np.isnan(found[0]):
        return None
    blocks = weights(shape[0], resamples=resamples, seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = [_tau((block @ total) / (block @ number)) for block in blocks]
    return float(found[0]), percentile_interval(np.concatenate(draws), expanded(shape[0]))


def _tau(means: Floats) -> Floats:
    """Return (B,) tau-b of (B, L) means with their order; NaN where all tie or one is unknown."""
    first, second = np.triu_indices(means.shape[1], 1)
    gaps = means[:, second] - means[:, first]
    signs = np.where(np.abs(gaps) <= ROUNDING, 0.0, np.sign(gaps))
    pairs, untied = len(first), (signs != 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = signs.sum(axis=1) / np.sqrt(pairs * untied)
    return np.where(np.isnan(means).any(axis=1) | (untied == 0), np.nan, tau)
