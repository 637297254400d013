"""Attempts reduced to sums by system and sample: what every statistic starts from.

A million attempts become two small matrices in one pass, and resampling never sees an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    place, shape = _scored_places(outcomes)
    scored = outcomes.status == SCORED

    def total(values: NDArray[np.generic]) -> Floats:
        added = np.bincount(place, _kept(values, scored), shape[0] * shape[1])
        return added.reshape(shape).astype(np.float64, copy=False)

    number = np.bincount(place, minlength=shape[0] * shape[1])
    return Sums(
        n=number.reshape(shape).astype(np.float64),
        passed=total(outcomes.passed),
        cost=total(dollars(outcomes, basis)),
        family=outcomes.sample_family,
        families=len(outcomes.families),
    )


def sample_means(outcomes: Outcomes, values: NDArray[np.generic]) -> Floats:
    """Return the (Y, S) mean of (N,) values over a sample's scored attempts.

    NaN where nothing was scored or a value is unknown.
    """
    place, shape = _scored_places(outcomes)
    size = shape[0] * shape[1]
    total = np.bincount(place, _kept(values, outcomes.status == SCORED), size)
    number = np.bincount(place, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / np.where(number == 0, np.nan, number)).reshape(shape).astype(np.float64)


def _scored_places(outcomes: Outcomes) -> tuple[NDArray[np.intp], tuple[int, int]]:
    """Return the place of each scored attempt in a (Y, S) matrix laid out flat, and its shape."""
    shape = (len(outcomes.systems), len(outcomes.samples))
    place = np.multiply(outcomes.system, shape[1], dtype=np.intp)
    place += outcomes.sample
    return _kept(place, outcomes.status == SCORED), shape


def _kept(values: NDArray[Any], scored: NDArray[np.bool_]) -> NDArray[Any]:
    """Leave out what was not scored; a copy of millions only where something is left out."""
    return values if scored.all() else values[scored]


def dollars(outcomes: Outcomes, basis: str) -> Floats:
    """Return (N,) dollars of each attempt: API cost where there is one, else on ``basis``.

    What other models cost that a strategy asked is added; unknown where any part is.
    """
    alone, others = _alone(outcomes, basis), outcomes.cost.get("others")
    return alone if others is None else alone + others


def _alone(outcomes: Outcomes, basis: str) -> Floats:
    api, own = outcomes.cost.get("api"), outcomes.cost.get(basis)
    if api is None:
        return np.full(len(outcomes.status), np.nan) if own is None else own
    return api if own is None else np.where(np.isnan(api), own, api)


def by_family(sums: Sums, values: Floats) -> Floats:
    """Add (Y, S) values up by family; NaN counts as nothing. Returns (Y, G)."""
    known = np.nan_to_num(values)
    return (
        np.stack([np.bincount(sums.family, row, sums.families) for row in known])
        if len(known)
        else np.zeros((0, sums.families))
    )
