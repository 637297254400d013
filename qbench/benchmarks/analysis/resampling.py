"""The family bootstrap: whole families are drawn with replacement, all systems alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.sums import Floats, Sums, by_family

RESAMPLES = 10_000
BLOCK = 500
"""Most resamples at a time."""

CELLS = 2_500_000
"""Most weights at a time: bounds memory to 20 MB whatever the number of families."""


def weights(families: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """Yield blocks (B, G) of how often each family was drawn; rows sum to G.

    Families are drawn one by one and counted, which is the multinomial distribution eight times
    as fast as its own generator. The same seed and number of families give the same weights.
    """
    rng = np.random.default_rng(seed)
    small = np.uint16 if families <= 2**16 else np.uint32
    rows = max(1, min(BLOCK, CELLS // max(1, families)))
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(0, max(1, families), size=(count, families), dtype=small)
        block = np.empty((count, families))
        for place, row in enumerate(drawn):
            block[place] = np.bincount(row, minlength=families)
        yield block


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
    columns = np.concatenate([counted, passed, paid]).T.copy()
    drawn = [block @ columns for block in weights(sums.families, resamples=resamples, seed=seed)]
    n, rates, costs = np.split(np.concatenate(drawn), 3, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return rates / n, costs / n


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
