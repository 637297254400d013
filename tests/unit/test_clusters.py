"""Standard errors as other harnesses print them, and intervals that hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qbench.benchmarks.analysis.clusters import clustered_mean, pass_rate, standard_error
from qbench.benchmarks.analysis.rates import wilson
from qbench.benchmarks.analysis.sums import Floats

UNEVEN = np.repeat(np.arange(7, dtype=np.int32), [1, 2, 3, 5, 8, 13, 2])


def share(passed: int, n: int) -> Floats:
    return (np.arange(n) < passed).astype(np.float64)


@pytest.mark.parametrize(
    ("passed", "n", "error"),
    [
        (1173, 1319, 0.0086),
        (1242, 1319, 0.0065),
        (1138, 1319, 0.0095),
        (992, 1319, 0.0119),
        (895, 1319, 0.0129),
        (963, 1319, 0.0122),
    ],
)
def test_errors_that_lm_eval_printed(passed: int, n: int, error: float) -> None:
    """gsm8k: 0.8893; 94.16 and 86.28 (InferenceX 258); 0.7521, 0.6785, 0.7301 (llmc 2304)."""
    assert round(standard_error(share(passed, n)), 4) == error


def test_clustered_error_is_that_of_inspect_and_of_the_paper() -> None:
    values = np.random.default_rng(4).random(len(UNEVEN))
    middle = values - values.mean()
    same = UNEVEN[:, None] == UNEVEN[None, :]
    paper = math.sqrt(float((np.outer(middle, middle) * same).sum())) / len(values)
    assert standard_error(values, UNEVEN, correction=False) == pytest.approx(paper, rel=1e-13)
    assert standard_error(values, UNEVEN) == pytest.approx(paper * math.sqrt(7 / 6), rel=1e-13)


def test_families_of_one_are_no_families() -> None:
    values = np.random.default_rng(5).random(40)
    alone = np.arange(40, dtype=np.int32)
    plain = standard_error(values)
    assert standard_error(values, alone) == pytest.approx(plain, rel=1e-13)
    assert clustered_mean(values, alone).error == pytest.approx(plain, rel=1e-13)


def test_what_one_sample_or_family_says_of_spread_is_nothing() -> None:
    assert standard_error(np.array([0.5])) == 0.0
    assert standard_error(np.array([math.nan])) == 0.0
    assert standard_error(np.ones(4), np.zeros(4, dtype=np.int32)) == 0.0
    assert standard_error(np.full(2, math.nan), np.zeros(2, dtype=np.int32)) == 0.0


def test_degrees_of_freedom_are_those_of_the_matrices() -> None:
    """The closed form against tr(M)^2 / tr(M^2) with M built whole."""
    values = np.random.default_rng(8).normal(size=len(UNEVEN)) + 0.7 * (UNEVEN % 3)
    mean = clustered_mean(values, UNEVEN)
    n, sizes = len(values), np.bincount(UNEVEN)
    member = (UNEVEN[:, None] == np.arange(7)[None, :]).astype(np.float64)
    adjust = np.diag(1 / np.sqrt(1 - sizes / n))
    residual_sums = member.T @ (values - values.mean())
    total = float((adjust @ residual_sums) @ (adjust @ residual_sums))
    assert mean.error == pytest.approx(math.sqrt(total) / n, rel=1e-12)
    correlation = (total / values.var() - n) / float((sizes**2).sum() - n)
    assert 0 < correlation < 1
    samples = np.eye(n) + correlation * (member @ member.T - np.eye(n))
    centre = np.eye(n) - 1 / n
    whole = adjust @ member.T @ centre @ samples @ centre @ member @ adjust
    assert mean.freedom == pytest.approx(np.trace(whole) ** 2 / np.trace(whole @ whole), rel=1e-9)


def test_even_families_have_one_degree_less_than_there_are() -> None:
    mean = clustered_mean(np.tile([1.0, 0.0, 0.0, 1.0, 1.0, 0.0], 6), np.repeat(np.arange(18), 2))
    assert mean.freedom == pytest.approx(17)


def test_a_variance_that_two_families_hold_has_few_degrees_of_freedom() -> None:
    """Of 400 families two pass once: 2 q^2 k^2 / (k q^2 - k^2 q^2 / G), about 2 k = 4."""
    mean = clustered_mean(np.r_[np.ones(2), np.zeros(398)], np.arange(400, dtype=np.int32))
    assert mean.freedom == pytest.approx(4, rel=0.02)


def test_pass_rate_of_families_is_wilson_on_their_effective_number() -> None:
    rates = np.random.default_rng(9).random(60)
    family = np.repeat(np.arange(20, dtype=np.int32), 3)
    found, mean = pass_rate(rates, np.full(60, 4.0), family), clustered_mean(rates, family)
    assert found is not None
    p, effective = mean.value, mean.value * (1 - mean.value) / mean.error**2
    t = float(stats.t.ppf(0.975, mean.freedom))
    for end in (found.low, found.high):
        assert abs(end - p) == pytest.approx(t * math.sqrt(end * (1 - end) / effective), rel=1e-9)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
@pytest.mark.parametrize(("correlation", "number"), [(0.0, 40), (0.3, 40), (0.5, 5)])
def test_coverage_in_families_of_uneven_size(p: float, correlation: float, number: int) -> None:
    """1,500 runs of 40 or 5 families: never below 95 % by more than a point and three errors.

    The whole table is in docs/verification.md.
    """
    rng = np.random.default_rng(17)
    sizes = rng.integers(1, 12, number)
    family = np.repeat(np.arange(number, dtype=np.int32), sizes)
    odds = (1 - correlation) / correlation if correlation else math.inf
    covered = 0
    for _ in range(1_500):
        own = rng.beta(p * odds, (1 - p) * odds, number) if correlation else np.full(number, p)
        passed = (rng.random(len(family)) < own[family]).astype(np.float64)
        found = pass_rate(passed, np.ones(len(family)), family)
        assert found is not None
        covered += found.low <= p <= found.high
    assert covered / 1_500 > 0.94 - 3 * 0.006


def test_one_failing_sample_of_many_is_no_wider_than_wilson() -> None:
    """Its square is all there is to learn a variance from: Student's quantile would be 4.3."""
    rates = np.ones(200)
    rates[3] = 0.0
    found = pass_rate(rates, np.full(200, 8.0), np.arange(200, dtype=np.int32))
    assert found is not None
    assert (found.low, found.high) == pytest.approx(wilson(199, 200))


def test_families_are_worth_as_many_as_kish_says() -> None:
    family = np.repeat(np.arange(3, dtype=np.int32), [1, 2, 3])
    found = clustered_mean(np.array([0.0, 1.0, 1.0, 0.0, 1.0, 1.0]), family)
    assert found.worth == pytest.approx(36 / 14)
