"""Four cells: published intervals, the posterior, and what families do to both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qbench.benchmarks.analysis.clusters import Mean, clustered_mean
from qbench.benchmarks.analysis.comparison.cells import (
    Cells,
    cells,
    effective,
    jeffreys,
    newcombe,
    posterior,
)
from qbench.benchmarks.analysis.comparison.paired import mcnemar
from qbench.benchmarks.analysis.rates import wilson


def table(a: float, b: float, c: float, d: float) -> Cells:
    return Cells(both=a, only_first=b, only_second=c, neither=d)


CAVO = table(59, 6, 16, 80)
"""Cavo et al. 2012, as in Fagerland et al., Statistical Analysis of Contingency Tables, ch. 8."""


def test_newcombe_as_published() -> None:
    assert CAVO.difference == pytest.approx(-0.0621, abs=5e-5)
    assert newcombe(CAVO) == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    assert mcnemar(6, 16) == pytest.approx(0.0525, abs=5e-5)


def test_newcombe_turned_around() -> None:
    low, high = newcombe(CAVO)
    assert newcombe(table(59, 16, 6, 80)) == pytest.approx((-high, -low))


def test_without_correlation_it_is_the_one_of_independent_proportions() -> None:
    """No sample passed by either: a margin is empty, the correlation zero."""
    low, high = newcombe(table(0, 0, 0, 20))
    end = wilson(0, 20)[1]
    assert (low, high) == pytest.approx((-end, end))


def test_cells_of_repeated_attempts_have_the_rates_as_margins() -> None:
    first, second = np.array([0.75, 0.0, 1.0]), np.array([0.5, 0.25, 1.0])
    found = cells(first, second)
    assert found.both + found.only_first == pytest.approx(first.sum())
    assert found.both + found.only_second == pytest.approx(second.sum())
    assert found.n == pytest.approx(3)
    assert found.difference == pytest.approx(float((first - second).mean()))


def test_families_shrink_the_table() -> None:
    rng = np.random.default_rng(3)
    first = (rng.random(60) < 0.6).astype(np.float64)
    second = (rng.random(60) < 0.5).astype(np.float64)
    alone = clustered_mean(first - second, np.arange(60, dtype=np.int32))
    assert effective(cells(first, second), alone).n == pytest.approx(59)
    twice = clustered_mean(np.tile(first - second, 2), np.tile(np.arange(60, dtype=np.int32), 2))
    doubled = cells(np.tile(first, 2), np.tile(second, 2))
    assert doubled.n == 120
    assert effective(doubled, twice).n == pytest.approx(59)


def test_where_all_agree_every_family_counts_once() -> None:
    agreed = Mean(value=0.0, error=0.0, n=40, clusters=8)
    assert effective(table(40, 0, 0, 0), agreed).n == 8


def test_the_posterior_is_the_dirichlets() -> None:
    """Its mean and variance are those of the difference of two of its shares."""
    found = posterior(CAVO, 0.05, seed=1)
    n, b, c = CAVO.n + 2, 6.5, 16.5
    mean = (b - c) / n
    spread = math.sqrt(((b + c) / n - mean**2) / (n + 1))
    assert (found.low + found.high) / 2 == pytest.approx(mean, abs=0.004)
    assert found.high - found.low == pytest.approx(3.92 * spread, rel=0.03)
    assert found.worse == pytest.approx(stats.norm.cdf(-0.05, mean, spread), abs=0.02)
    assert found.worse + found.equivalent + found.better == pytest.approx(1)


def test_the_posterior_of_nothing_is_wide() -> None:
    found = posterior(table(1, 0, 0, 0), 0.05)
    assert found.low < -0.5
    assert found.high > 0.5


@pytest.mark.parametrize(("passed", "n"), [(0, 10), (3, 10), (10, 10), (81, 263)])
def test_jeffreys(passed: int, n: int) -> None:
    low, high = jeffreys(passed, n)
    assert low == (
        0 if passed == 0 else pytest.approx(stats.beta.ppf(0.025, passed + 0.5, n - passed + 0.5))
    )
    assert high == (
        1 if passed == n else pytest.approx(stats.beta.ppf(0.975, passed + 0.5, n - passed + 0.5))
    )
