"""What resampling is estimated from: attempts, passes and what each kind of attempt costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes
from qbench.benchmarks.analysis.resampling import weights
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


@dataclass(frozen=True, kw_only=True)
class Redraws:
    """Families drawn with replacement, once for everything that is told of a run."""

    family: NDArray[np.int32]
    """(S,)."""
    times: Floats
    """(B, G) how often each family was drawn."""

    @classmethod
    def of(cls, found: Tally, *, resamples: int = RESAMPLES, seed: int = 0) -> Redraws:
        """Draw the families of a tally; without any, nothing can be drawn."""
        if not found.families:
            return cls(family=found.family, times=np.zeros((resamples, 0)))
        blocks = weights(found.families, resamples=resamples, seed=seed)
        return cls(family=found.family, times=np.concatenate(list(blocks)))

    def means(self, values: Floats) -> Floats:
        """Return the (B, R) means of (R, S) values, all rows drawn alike.

        NaN values are left out; a resample without any other is NaN.
        """
        families = self.times.shape[1]

        def total(rows: Floats) -> Floats:
            return np.stack([np.bincount(self.family, row, families) for row in rows])

        there = (~np.isnan(values)).astype(np.float64)
        alike = len(there) > 0 and bool((there == there[0]).all())
        columns = np.concatenate(
            [total(np.nan_to_num(values)), total(there[:1] if alike else there)]
        )
        drawn = self.times @ columns.T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(drawn[:, : len(values)] / drawn[:, len(values) :])
