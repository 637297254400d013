"""The family bootstrap: whole families are drawn with replacement, all systems alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sums import Floats, Sums, by_family

RESAMPLES = 10_000
BLOCK = 500
"""Resamples at a time: bounds memory to BLOCK x families."""


def weights(families: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """Yield blocks (B, G) of how often each family was drawn; rows sum to G."""
    rng = np.random.default_rng(seed)
    even = np.full(families, 1 / families)
    for start in range(0, resamples, BLOCK):
        count = min(BLOCK, resamples - start)
        yield rng.multinomial(families, even, size=count).astype(np.float64)


def resampled(sums: Sums, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Floats, Floats]:
    """Return (resamples, Y) pass rates and mean dollars per attempt, drawn together.

    A system with an unpriced attempt has NaN dollars; one with nothing scored in a resample has
    NaN in both.
    """
    known = ~np.isnan(sums.rates)
    counted = by_family(sums, known.astype(np.float64))
    passed = by_family(sums, sums.rates)
    paid = by_family(sums, sums.costs)
    paid[(np.isnan(sums.costs) & known).any(axis=1)] = np.nan
    rates, costs = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for block in weights(sums.families, resamples=resamples, seed=seed):
            n = block @ counted.T
            rates.append((block @ passed.T) / n)
            costs.append((block @ paid.T) / n)
    return np.concatenate(rates), np.concatenate(costs)


def percentile_interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of (B,) draws; infinity is a value, NaN is left out."""
    ordered = np.sort(draws[~np.isnan(draws)])
    if not len(ordered):
        return float("nan"), float("nan")
    low = int(np.floor((1 - level) / 2 * (len(ordered) - 1)))
    high = int(np.ceil((1 + level) / 2 * (len(ordered) - 1)))
    return float(ordered[low]), float(ordered[high])


def undominated(rates: Floats, costs: Floats) -> NDArray[np.bool_]:
    """Return which of (B, Y) systems no other one beats: at least as good, as cheap, one strictly.

    Equal systems stay together; a system without a known cost is never a member.
    """
    members = ~(np.isnan(rates) | np.isnan(costs))
    for other in range(rates.shape[1]):
        rate, cost = rates[:, [other]], costs[:, [other]]
        beaten = (rate >= rates) & (cost <= costs) & ((rate > rates) | (cost < costs))
        members &= ~beaten
    return members
