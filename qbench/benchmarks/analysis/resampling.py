"""The family bootstrap: whole families are drawn with replacement, all systems alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import special

from qbench.benchmarks.analysis.sums import Floats, Sums, by_family

RESAMPLES = 10_000
BLOCK = 500
"""Most resamples at a time."""

BITS = 40
"""Of a resampled mean: a relative error of 1e-12, more than sums of any order differ by."""

CELLS = 5_000_000
"""Most weights at a time: bounds memory to 40 MB whatever the number of families."""

SHORT = 2**13
"""Families up to which 16 random bits are used per draw: above, too many would be rejected."""


def weights(families: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """Yield blocks (B, G) of how often each family was drawn; rows sum to G.

    Families are drawn one by one and counted, which is the multinomial distribution eight times
    as fast as its own generator. The same seed and number of families give the same weights.
    """
    rng = np.random.default_rng(seed)
    small = np.uint16 if families <= SHORT else np.uint32
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
    rates, costs = resampled_means(sums, (sums.rates, sums.costs), resamples=resamples, seed=seed)
    return rates, costs


def resampled_means(
    sums: Sums, values: Sequence[Floats], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Floats]:
    """Return the (resamples, Y) mean of each (Y, S) matrix over what was scored, drawn together.

    The same seed draws the same families, so that all objectives of all systems belong together.
    A system with an unknown value of something scored is NaN throughout.
    """
    known = sums.n > 0
    counted = by_family(sums, known.astype(np.float64))
    added = [by_family(sums, np.where(known, matrix, 0.0)) for matrix in values]
    for total, matrix in zip(added, values, strict=True):
        total[(np.isnan(matrix) & known).any(axis=1)] = np.nan
    alike, which = np.unique(counted, axis=0, return_inverse=True)  # one, where nothing lacks
    columns = np.concatenate([alike, *added]).T.copy()
    drawn = [block @ columns for block in weights(sums.families, resamples=resamples, seed=seed)]
    n, *means = np.split(
        np.concatenate(drawn), [len(alike) + len(counted) * k for k in range(len(values))], axis=1
    )
    n = n[:, which.ravel()]
    with np.errstate(invalid="ignore", divide="ignore"):
        return [_rounded(mean / n) for mean in means]


def _rounded(means: Floats) -> Floats:
    """Keep ``BITS`` bits: means that are equal must be so in whatever order they were added."""
    mantissa, exponent = np.frexp(means)
    kept: Floats = np.ldexp(np.rint(np.ldexp(mantissa, BITS)), exponent - BITS)
    return kept


def percentile_interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of (B,) draws; infinity is a value, NaN is left out."""
    ordered = np.sort(draws[~np.isnan(draws)])
    if not len(ordered):
        return float("nan"), float("nan")
    low = int(np.floor((1 - level) / 2 * (len(ordered) - 1)))
    high = int(np.ceil((1 + level) / 2 * (len(ordered) - 1)))
    return float(ordered[low]), float(ordered[high])


def expanded(families: int, level: float = 0.95) -> float:
    """Return the level whose percentiles hold ``level`` where families are few.

    Percentiles of a bootstrap are as narrow as a normal interval with the variance divided by G
    instead of G - 1. Hesterberg (2015, *What Teachers Should Know About the Bootstrap*, expanded
    percentile intervals) takes those of sqrt(G / (G - 1)) times Student's quantile instead.
    """
    if families < 2:
        return level
    wide = float(special.stdtrit(families - 1, 0.5 + level / 2))
    return 1 - 2 * float(special.ndtr(-wide * np.sqrt(families / (families - 1))))
