"""Two systems as a table of four cells: both pass, only one, neither. Methods for small numbers.

Nothing here knows families; ``effective`` shrinks a table to the number of independent samples
that its clustered error is worth, so that the methods stay honest where samples are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from qbench.benchmarks.analysis.clusters import Mean
from qbench.benchmarks.analysis.rates import Z, wilson
from qbench.benchmarks.analysis.resampling import percentile_interval
from qbench.benchmarks.analysis.sums import Floats

DRAWS = 20_000
JEFFREYS = 0.5
"""Prior weight of each cell: Jeffreys' for a multinomial."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Samples by who passed them; may be fractions where samples were tried more than once."""

    both: float
    only_first: float
    only_second: float
    neither: float

    @property
    def n(self) -> float:
        """Samples."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Pass rate of the first minus that of the second."""
        return (self.only_first - self.only_second) / self.n

    def scaled(self, factor: float) -> Cells:
        """Return the same shares of another number of samples."""
        return Cells(
            both=self.both * factor,
            only_first=self.only_first * factor,
            only_second=self.only_second * factor,
            neither=self.neither * factor,
        )


def cells(first: Floats, second: Floats) -> Cells:
    """Make the table of (S,) pass rates known in both; a sample counts in shares of its attempts.

    A sample that passes 3 of 4 times and 2 of 4 times is put into the four cells as if the
    attempts were independent of each other, so that the margins are the mean pass rates.
    """
    return Cells(
        both=float((first * second).sum()),
        only_first=float((first * (1 - second)).sum()),
        only_second=float(((1 - first) * second).sum()),
        neither=float(((1 - first) * (1 - second)).sum()),
    )


def effective(found: Cells, mean: Mean) -> Cells:
    """Scale a table to as many independent pairs as have the variance of ``mean``.

    Where the data show no spread, one for each family.
    """
    share = (found.only_first + found.only_second) / found.n
    variance = share - found.difference**2
    if mean.error > 0 and variance > 0:
        return found.scaled(variance / mean.error**2 / found.n)
    return found.scaled(mean.clusters / found.n)


def newcombe(found: Cells, z: float = Z) -> tuple[float, float]:
    """Return the hybrid score interval of the difference of paired proportions.

    Newcombe, Statistics in Medicine 17 (1998) 2635, method 10: Wilson's intervals of both pass
    rates, joined by their correlation, which is corrected for continuity.
    """
    n = found.n
    one, two = (found.both + found.only_first) / n, (found.both + found.only_second) / n
    below, above = wilson(one * n, n, z)
    under, over = wilson(two * n, n, z)
    twice = 2 * _correlation(found)
    low = math.hypot(one - below, over - two) ** 2 - twice * (one - below) * (over - two)
    high = math.hypot(above - one, two - under) ** 2 - twice * (above - one) * (two - under)
    gap = found.difference
    return max(-1.0, gap - math.sqrt(max(0.0, low))), min(1.0, gap + math.sqrt(max(0.0, high)))


def _correlation(found: Cells) -> float:
    first, second = found.both + found.only_first, found.both + found.only_second
    margins = first * (found.n - first) * second * (found.n - second)
    cross = found.both * found.neither - found.only_first * found.only_second
    if margins <= 0:
        return 0.0
    kept = cross if cross < 0 else max(0.0, cross - found.n / 2)
    return kept / math.sqrt(margins)


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What is believed of a difference after the data, whatever was true before."""

    low: float
    """95 % equal-tailed credible interval."""
    high: float
    worse: float
    """P(difference below minus the margin)."""
    equivalent: float
    """P(difference within the margin)."""
    better: float


def posterior(found: Cells, margin: float, *, seed: int = 0) -> Posterior:
    """Return the posterior of the paired difference under Jeffreys' Dirichlet prior.

    The four shares are Dirichlet(counts + 1/2) afterwards; ``DRAWS`` seeded draws.
    """
    weights = np.array([found.only_first, found.only_second, found.both + found.neither])
    prior = np.array([JEFFREYS, JEFFREYS, 2 * JEFFREYS])
    drawn = np.random.default_rng(seed).dirichlet(weights + prior, DRAWS)
    gap = drawn[:, 0] - drawn[:, 1]
    low, high = percentile_interval(gap)
    worse, better = float((gap < -margin).mean()), float((gap > margin).mean())
    return Posterior(low=low, high=high, worse=worse, equivalent=1 - worse - better, better=better)


def jeffreys(passed: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return the equal-tailed credible interval of a pass rate under Beta(1/2, 1/2).

    The Beta-binomial posterior; ends at 0 and 1 where nothing or everything passed (Brown, Cai
    and DasGupta, Statistical Science 16, 2001).
    """
    tail = (1 - level) / 2
    shape = passed + JEFFREYS, n - passed + JEFFREYS
    low = 0.0 if passed == 0 else float(special.betaincinv(*shape, tail))
    high = 1.0 if passed == n else float(special.betaincinv(*shape, 1 - tail))
    return low, high
