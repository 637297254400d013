"""How often verdicts and intervals are wrong, in small: the tables are in docs/verification.md."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from qbench.benchmarks.analysis.clusters import clustered_mean
from qbench.benchmarks.analysis.comparison.paired import Difference, differences, verdict, widened
from qbench.benchmarks.analysis.sums import Floats

RUNS = 1_000
SLACK = 3 * (0.05 * 0.95 / RUNS) ** 0.5
"""Three standard errors of a share of 5 %."""


def runs(p: float, gap: float, n: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield runs of two systems that meet the same luck on 60 % of the samples."""
    rng = np.random.default_rng(seed)
    for _ in range(RUNS):
        luck = rng.random(n)
        other = np.where(rng.random(n) < 0.6, luck, rng.random(n))
        yield (luck < p + gap).astype(np.float64), (other < p).astype(np.float64)


def judged(p: float, gap: float, n: int, families: int) -> list[Difference]:
    family = (np.arange(n) * families // n).astype(np.int32)
    found = differences(list(runs(p, gap, n, 5)), family, epochs=1)
    return [one for one in found if one is not None]


@pytest.mark.parametrize(("n", "families"), [(100, 100), (100, 20), (30, 30)])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_same_twice_is_called_different_in_at_most_a_twentieth(
    n: int, families: int, p: float
) -> None:
    kinds = [verdict(gap, gap.p, 0.05) for gap in judged(p, 0.0, n, families)]
    assert len(kinds) == RUNS
    assert sum(kind in ("better", "worse") for kind in kinds) / RUNS < 0.05 + SLACK


@pytest.mark.parametrize(("n", "families"), [(300, 300), (300, 60)])
def test_a_difference_of_the_margin_is_called_equivalent_in_about_a_twentieth(
    n: int, families: int
) -> None:
    """Skewed differences cost a point at this size; see the table."""
    kinds = [verdict(gap, 1.0, 0.05) for gap in judged(0.85, 0.05, n, families)]
    assert sum(kind == "equivalent" for kind in kinds) / RUNS < 0.06 + SLACK


@pytest.mark.parametrize(("p", "gap"), [(0.02, 0.0), (0.05, 0.05), (0.5, 0.1), (0.9, 0.05)])
@pytest.mark.parametrize("n", [30, 120])
def test_the_interval_of_a_difference_holds_it(p: float, gap: float, n: int) -> None:
    family, held = np.arange(n, dtype=np.int32), 0
    for first, second in runs(p, gap, n, 9):
        low, high = widened(clustered_mean(first - second, family), 0.95)
        held += low <= gap <= high
    assert held / RUNS > 0.94 - SLACK
