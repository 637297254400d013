"""What choosing a system per problem really pays, on attempts that did not choose it.

The minimum over noisy estimates is too low: among many systems with few attempts each, the
cheapest looks cheap by luck. Here half of the attempts choose each problem's system and the other
half pay: they are made until one passes, and if none does the expert is paid too. The mean is
free of that bias for this very policy: one that knows half the attempts and tries as often again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes
from qbench.benchmarks.analysis.sums import Floats, dollars


@dataclass(frozen=True, kw_only=True)
class Half:
    """One half of the attempts; arrays are (Y, S)."""

    n: Floats
    passed: Floats
    cost: Floats
    """Dollars of all of them; NaN when one is unpriced."""
    cost_passed: Floats
    """Dollars of those that passed."""

    @property
    def v(self) -> Floats:
        """Dollars per right answer; infinity without a pass, NaN without an attempt."""
        with np.errstate(divide="ignore", invalid="ignore"):
            n = np.where(self.n == 0, np.nan, self.n)
            return per_problem(self.cost / n, self.passed / n)

    def paid(self, expert: float) -> Floats:
        """Return (Y, S) mean dollars of trying until a pass, in a random order, then the expert.

        Of c passes among n, each failure comes before the first of them with probability
        1 / (c + 1), and one pass is paid. Without a pass all n and the expert are paid.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            failed = (self.cost - self.cost_passed) / (self.passed + 1)
            solved = failed + self.cost_passed / self.passed
        return np.where(self.passed > 0, solved, self.cost + expert)


def halves(outcomes: Outcomes, basis: str) -> tuple[Half, Half] | None:
    """Split the scored attempts by the parity of their epoch; None with fewer than two epochs."""
    if not len(outcomes.epoch) or outcomes.epoch.max() == outcomes.epoch.min():
        return None
    paid = dollars(outcomes, basis)
    return _half(outcomes, paid, 0), _half(outcomes, paid, 1)


def _half(outcomes: Outcomes, paid: Floats, parity: int) -> Half:
    chosen = (outcomes.status == SCORED) & (outcomes.epoch % 2 == parity)
    samples = len(outcomes.samples)
    shape = (len(outcomes.systems), samples)
    place = (outcomes.system.astype(np.int64) * samples + outcomes.sample)[chosen]

    def total(values: NDArray[np.generic]) -> Floats:
        added = np.bincount(place, values[chosen].astype(np.float64), shape[0] * samples)
        return added.reshape(shape).astype(np.float64)

    return Half(
        n=total(np.ones(len(paid))),
        passed=total(outcomes.passed),
        cost=total(paid),
        cost_passed=total(np.where(outcomes.passed, paid, 0.0)),
    )


def held_out(one: Half, two: Half, expert: float = np.inf) -> Floats:
    """Return (S,) dollars per problem, each half choosing once and paying once.

    A problem whose choosing half has no pass, or only dearer ones, goes to the expert at once.
    NaN where a system has no attempt in a half.
    """
    return (_policy(one, two, expert) + _policy(two, one, expert)) / 2


def _policy(chooses: Half, pays: Half, expert: float) -> Floats:
    v, paid = chooses.v, pays.paid(expert)
    unknown = (np.isnan(v) | np.isnan(paid) | (pays.n == 0)).any(axis=0)
    best = np.argmin(np.where(np.isnan(v), np.inf, v), axis=0)
    columns = np.arange(v.shape[1])
    taken = np.where(v[best, columns] <= expert, paid[best, columns], expert)
    hopeless = np.isinf(v[best, columns])
    return np.where(unknown, np.nan, np.where(hopeless, expert, taken))
