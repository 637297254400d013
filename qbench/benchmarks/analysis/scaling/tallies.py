"""What resampling is estimated from: attempts, passes and what each kind of attempt costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import FEW, pass_rate
from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes
from qbench.benchmarks.analysis.resampling import percentile_interval, weights
from qbench.benchmarks.analysis.scaling.coverage import Ints, deepest
from qbench.benchmarks.analysis.sums import Floats

RESAMPLES = 2_000
"""Of families: many curves are drawn at once."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Y systems x S samples; samples in G families."""

    n: Ints
    """(Y, S) scored attempts."""
    passed: Ints
    """(Y, S)."""
    right_cost: Floats
    """(Y, S) mean cost of the attempts that passed; 0 where none did, NaN where unknown."""
    wrong_cost: Floats
    """(Y, S) of those that did not pass."""
    family: NDArray[np.int32]
    """(S,) family of each sample."""
    families: int
    """G."""

    def row(self, place: int) -> Row:
        """Return one system on the samples that have attempts enough for one curve."""
        n = self.n[place]
        most = deepest(n)
        kept = (n >= most) & (n > 0)
        return Row(
            n=n[kept],
            passed=self.passed[place, kept],
            right_cost=self.right_cost[place, kept],
            wrong_cost=self.wrong_cost[place, kept],
            kept=kept,
            most=most,
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system on the S' samples whose curve is told: the same ones for every k."""

    n: Ints
    """(S',)."""
    passed: Ints
    right_cost: Floats
    wrong_cost: Floats
    kept: NDArray[np.bool_]
    """(S,) which of all samples these are."""
    most: int
    """Largest k: every sample here has as many attempts. 0 where nothing was scored."""

    @property
    def rates(self) -> Floats:
        """(S',) share of attempts that passed."""
        return np.asarray(self.passed / np.maximum(self.n, 1))

    @property
    def cost(self) -> Floats:
        """(S',) mean cost of an attempt; NaN where unknown."""
        wrong = self.n - self.passed
        total = self.passed * self.right_cost + wrong * self.wrong_cost
        return np.asarray(total / np.maximum(self.n, 1))

    def spread(self, values: Floats) -> Floats:
        """Put (S', K) values among all samples: (K, S), NaN for the others."""
        among = np.full((values.shape[1], len(self.kept)), np.nan)
        among[:, self.kept] = values.T
        return among


def tally(outcomes: Outcomes, cost: Floats) -> Tally:
    """Count the scored attempts, and add up what right and wrong ones cost.

    Args:
        outcomes: attempts as columns.
        cost: (N,) of each attempt in any unit; NaN where unknown.

    """
    scored = outcomes.status == SCORED
    samples = len(outcomes.samples)
    shape = (len(outcomes.systems), samples)
    place = outcomes.system.astype(np.int64) * samples + outcomes.sample

    def count(chosen: NDArray[np.bool_]) -> Ints:
        return np.bincount(place[chosen], minlength=shape[0] * samples).reshape(shape)

    def mean(chosen: NDArray[np.bool_], number: Ints) -> Floats:
        total = np.bincount(place[chosen], cost[chosen], shape[0] * samples)
        return np.asarray(total.reshape(shape) / np.maximum(number, 1))

    n, passed = count(scored), count(scored & outcomes.passed)
    return Tally(
        n=n,
        passed=passed,
        right_cost=mean(scored & outcomes.passed, passed),
        wrong_cost=mean(scored & ~outcomes.passed, n - passed),
        family=outcomes.sample_family,
        families=len(outcomes.families),
    )


def drawn_means(
    values: Floats, family: NDArray[np.int32], *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Return the (B, R) means of (R, S) values over families drawn with replacement.

    All rows are drawn alike; NaN values are left out, and a resample without any is NaN.
    """
    families = int(family.max(initial=-1)) + 1
    if not families or not len(values):
        return np.full((resamples, len(values)), np.nan)
    there = ~np.isnan(values)
    held = np.nan_to_num(values)
    total = np.stack([np.bincount(family, row, families) for row in held])
    number = np.stack([np.bincount(family, row, families) for row in there.astype(np.float64)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate(
            [
                (block @ total.T) / (block @ number.T)
                for block in weights(families, resamples=resamples, seed=seed)
            ]
        )


def share_interval(draws: Floats, values: Floats, family: NDArray[np.int32]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of (S,) shares: percentiles of (B,) draws.

    With fewer than ``FEW`` families, or where all draws agree, that of ``pass_rate``, which is
    never of width zero.
    """
    low, high = percentile_interval(draws)
    told = ~np.isnan(values)
    if low < high and len(np.unique(family[told])) >= FEW:
        return low, high
    found = pass_rate(values, np.full(len(values), 2.0), family)
    return (found.low, found.high) if found else (low, high)
