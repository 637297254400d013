"""Attempts reduced to sums by system and sample: what every statistic starts from.

A million attempts become two small matrices in one pass, and resampling never sees an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Y systems x S samples; samples in G families."""

    n: Floats
    """(Y, S) scored attempts."""
    passed: Floats
    """(Y, S)."""
    cost: Floats
    """(Y, S) dollars of the scored attempts; NaN when one of them is unpriced."""
    family: NDArray[np.int32]
    """(S,) family of each sample."""
    families: int
    """G."""

    @property
    def rates(self) -> Floats:
        """(Y, S) mean pass of each sample over its epochs; NaN where nothing was scored."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.passed / np.where(self.n == 0, np.nan, self.n)

    @property
    def costs(self) -> Floats:
        """(Y, S) mean dollars per attempt; NaN where unknown."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.cost / np.where(self.n == 0, np.nan, self.n)


def sums(outcomes: Outcomes, basis: str) -> Sums:
    """Add up the scored attempts. Local systems are costed on ``basis``, API systems on ``api``."""
    scored = outcomes.status == SCORED
    samples = len(outcomes.samples)
    shape = (len(outcomes.systems), samples)
    place = (outcomes.system.astype(np.int64) * samples + outcomes.sample)[scored]

    def total(values: NDArray[np.generic]) -> Floats:
        weights = values[scored].astype(np.float64)
        added = np.bincount(place, weights, shape[0] * samples)
        return added.reshape(shape).astype(np.float64)

    return Sums(
        n=total(np.ones(len(scored))),
        passed=total(outcomes.passed),
        cost=total(dollars(outcomes, basis)),
        family=outcomes.sample_family,
        families=len(outcomes.families),
    )


def sample_means(outcomes: Outcomes, values: NDArray[np.generic]) -> Floats:
    """Return the (Y, S) mean of (N,) values over a sample's scored attempts.

    NaN where nothing was scored or a value is unknown.
    """
    scored = outcomes.status == SCORED
    samples = len(outcomes.samples)
    shape = (len(outcomes.systems), samples)
    place = (outcomes.system.astype(np.int64) * samples + outcomes.sample)[scored]
    total = np.bincount(place, values[scored].astype(np.float64), shape[0] * samples)
    number = np.bincount(place, minlength=shape[0] * samples)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / np.where(number == 0, np.nan, number)).reshape(shape).astype(np.float64)


def dollars(outcomes: Outcomes, basis: str) -> Floats:
    """Return (N,) dollars of each attempt: API cost where there is one, else on ``basis``."""
    unknown = np.full(len(outcomes.status), np.nan)
    api = outcomes.cost.get("api", unknown)
    return np.where(np.isnan(api), outcomes.cost.get(basis, unknown), api)


def by_family(sums: Sums, values: Floats) -> Floats:
    """Add (Y, S) values up by family; NaN counts as nothing. Returns (Y, G)."""
    known = np.nan_to_num(values)
    return (
        np.stack([np.bincount(sums.family, row, sums.families) for row in known])
        if len(known)
        else np.zeros((0, sums.families))
    )
