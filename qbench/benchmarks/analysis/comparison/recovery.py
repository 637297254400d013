"""Recovery: what a format keeps of its baseline, as a ratio of averages with an interval.

A mean of per-task or per-sample ratios would weigh the hardest parts most; the ratio of averages
does not ("Give Me BF16 or Give Me Death?", arXiv 2411.02355).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import FEW, Mean, clustered_mean
from qbench.benchmarks.analysis.comparison.paired import widened
from qbench.benchmarks.analysis.resampling import RESAMPLES, percentile_interval, weights
from qbench.benchmarks.analysis.sums import Floats

Ints = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio of averages with its 95 % interval."""

    value: float
    low: float
    high: float
    """``inf`` where the data do not bound it."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """(S,) values of a system and its baseline; NaN where unknown."""

    system: Floats
    baseline: Floats
    shares: bool = True
    """Values lie between 0 and 1: agreement everywhere then hides differences of known size."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """(S,) where both are known."""
        return ~np.isnan(self.system - self.baseline)


def ratio_of_averages(system: Floats, baseline: Floats) -> float | None:
    """Return mean(system) / mean(baseline) over (S,) values where both are known.

    None where nothing is known, the baseline's mean is 0, or a mean is not finite.
    """
    known = ~np.isnan(system - baseline)
    if not known.any():
        return None
    top, bottom = float(system[known].mean()), float(baseline[known].mean())
    return top / bottom if bottom and math.isfinite(top) and math.isfinite(bottom) else None


def ratios(
    pairs: Sequence[Pair], family: Ints, families: int, *, seed: int, resamples: int = RESAMPLES
) -> list[Ratio | None]:
    """Return the ratio of averages of each pair; None where ``ratio_of_averages`` is.

    Intervals: percentiles over resamples of whole families, drawn alike for all pairs. With fewer
    than ``FEW`` families: a t interval on the linearised ratio (Cochran, Sampling Techniques,
    section 6.3), which is wide. Where no resample differs, shares are allowed the difference that
    so many agreeing families can hide; other values then have an interval of width zero.

    Args:
        pairs: K pairs of (S,) values on the same samples.
        family: (S,) family of each sample.
        families: their number.
        seed: of the draws.
        resamples: how many.

    """
    values = [ratio_of_averages(pair.system, pair.baseline) for pair in pairs]
    drawn = _drawn(pairs, family, families, seed=seed, resamples=resamples)
    return [
        None if value is None else _ratio(value, pair, family, drawn[:, place])
        for place, (value, pair) in enumerate(zip(values, pairs, strict=True))
    ]


def _drawn(
    pairs: Sequence[Pair], family: Ints, families: int, *, seed: int, resamples: int
) -> Floats:
    """Return (resamples, K) ratios; NaN where 0 is divided by 0."""
    tops = np.stack([_by_family(p.system, p.known, family, families) for p in pairs], axis=1)
    bottoms = np.stack([_by_family(p.baseline, p.known, family, families) for p in pairs], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        blocks = [
            (block @ tops) / (block @ bottoms)
            for block in weights(families, resamples=resamples, seed=seed)
        ]
    return np.concatenate(blocks)


def _by_family(values: Floats, known: NDArray[np.bool_], family: Ints, families: int) -> Floats:
    return np.bincount(family[known], values[known], families).astype(np.float64)


def _ratio(value: float, pair: Pair, family: Ints, drawn: Floats) -> Ratio:
    bottom = float(pair.baseline[pair.known].mean())
    left = clustered_mean(pair.system - value * pair.baseline, family)
    if left.clusters < FEW:
        low, high = _linearised(value, bottom, left)
    else:
        low, high = percentile_interval(drawn)
    if not high > low and pair.shares:
        hidden = (1 - 0.05 ** (1 / left.clusters)) / bottom
        low, high = value - hidden, value + hidden
    return Ratio(value=value, low=max(0.0, min(low, value)), high=max(high, value))


def _linearised(value: float, bottom: float, left: Mean) -> tuple[float, float]:
    low, high = left.interval()
    return value + low / bottom, value + high / bottom


@dataclass(frozen=True, kw_only=True)
class Change:
    """A system's average minus the baseline's, on the samples where both are known."""

    system: float
    baseline: float
    difference: float
    low: float
    high: float
    samples: int


def change(pair: Pair, family: Ints) -> Change | None:
    """Compare two averages by their paired difference; None where nothing is known.

    The interval is the t interval between families; shares that agree everywhere are allowed the
    difference that so many families can hide.
    """
    known = pair.known
    if not known.any():
        return None
    mean = clustered_mean(pair.system - pair.baseline, family)
    low, high = widened(mean, 0.95) if pair.shares else mean.interval()
    return Change(
        system=float(pair.system[known].mean()),
        baseline=float(pair.baseline[known].mean()),
        difference=mean.value,
        low=low,
        high=high,
        samples=mean.n,
    )
