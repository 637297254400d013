"""Worked numbers for the statistics: rates, cost-of-pass, paired tests and verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbench.benchmarks.analysis import resampling
from qbench.benchmarks.analysis.clusters import Mean, clustered_mean, pass_rate
from qbench.benchmarks.analysis.comparison import paired
from qbench.benchmarks.analysis.economics import costofpass
from qbench.benchmarks.analysis.rates import pass_at_k, pass_hat_k, wilson, zero_pass_bound
from qbench.benchmarks.analysis.sums import Floats

INF = math.inf

M1 = costofpass.per_problem(np.array([0.015, 0.03, 0.03]), np.array([0.75, 0.0, 0.25]))
M2 = costofpass.per_problem(np.array([0.1, 0.25, 0.4]), np.array([1.0, 0.25, 0.0]))
EXPERT = 2.0


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def alone(n: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.arange(n, dtype=np.int32)


def test_pass_at_k_and_pass_hat_k() -> None:
    assert pass_at_k(20, 7, 5) == pytest.approx(0.9169891640866873, rel=1e-12)
    assert pass_hat_k(20, 7, 5) == pytest.approx(0.0013544891640866873, rel=1e-12)
    assert pass_at_k(20, 7, 1) == pytest.approx(7 / 20)
    assert pass_at_k(5, 3, 3) == 1.0
    assert pass_hat_k(5, 2, 3) == 0.0


@pytest.mark.parametrize("k", [0, -1, 6])
def test_k_outside_the_attempts_is_refused(k: int) -> None:
    for estimate in (pass_at_k, pass_hat_k):
        with pytest.raises(ValueError, match="k must be from 1 to 5"):
            estimate(5, 2, k)


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775327998628892),
        (5, 10, 0.236593090512564, 0.763406909487436),
        (81, 263, 0.2552935, 0.3661807),
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_wilson_known_values(passed: int, n: int, low: float, high: float) -> None:
    """The last two are from Newcombe (1998), Table I."""
    assert wilson(passed, n) == pytest.approx((low, high), abs=6e-4)


def test_zero_pass_bound_is_clopper_pearson() -> None:
    assert zero_pass_bound(10) == pytest.approx(0.3084971078187608, rel=1e-9)
    assert (1 - zero_pass_bound(7)) ** 7 == pytest.approx(0.025)


def test_cost_of_pass_per_problem() -> None:
    assert M1.tolist() == pytest.approx([0.02, INF, 0.12])
    assert M2.tolist() == pytest.approx([0.1, 1.0, INF])
    unknown = costofpass.per_problem(floats(math.nan, 1.0, math.nan), floats(0.5, math.nan, 0.0))
    assert np.isnan(unknown).all()


def test_frontier_is_the_minimum_over_models_then_the_mean() -> None:
    both = {"m1": M1, "m2": M2}
    assert costofpass.frontier(both, EXPERT).tolist() == pytest.approx([0.02, 1.0, 0.12])
    assert costofpass.frontier({"m1": M1}, EXPERT).mean() == pytest.approx(0.7133333333333334)
    assert costofpass.frontier({"m2": M2}, EXPERT).mean() == pytest.approx(1.0333333333333334)
    assert costofpass.frontier(both, EXPERT).mean() == pytest.approx(0.38000000000000006)
    assert float(costofpass.frontier({}, EXPERT)) == EXPERT


def test_gain_and_essentialness() -> None:
    both = {"m1": M1, "m2": M2}
    assert costofpass.gain(both, "m2", EXPERT) == pytest.approx(0.3333333333333333)
    assert costofpass.gain({"m1": M1}, "m1", EXPERT) == pytest.approx(2.0 - 0.7133333333333334)
    assert costofpass.essentialness(both, {"m1"}, EXPERT) == pytest.approx(0.632258064516129)
    assert costofpass.essentialness(both, {"m2"}, EXPERT) == pytest.approx(0.46728971962616817)
    everyone = costofpass.essentialness(both, {"m1", "m2"}, EXPERT)
    assert everyone == pytest.approx(1 - 0.38 / 2.0)


def test_essentialness_where_everything_is_free_is_zero() -> None:
    free = {"a": floats(0.0, 0.0), "b": floats(0.0, 0.0)}
    assert costofpass.essentialness(free, {"a"}, EXPERT) == 0.0


def test_essentialness_refuses_a_frontier_without_an_end() -> None:
    """Without an expert an unsolved problem costs infinity, and a share of that is nothing."""
    with pytest.raises(ValueError, match="expert"):
        costofpass.essentialness({"a": floats(1.0, INF), "b": floats(INF, INF)}, {"b"}, INF)


def test_a_missing_problem_is_refused() -> None:
    with pytest.raises(ValueError, match="no record for a problem"):
        costofpass.frontier({"a": floats(1.0, math.nan)}, EXPERT)


def test_ratio_of_means_differs_from_cost_of_pass() -> None:
    costs, rates = floats(0.015, 0.03, 0.03), floats(0.75, 0.0, 0.25)
    assert costofpass.ratio_of_means(costs, rates) == pytest.approx(0.075)
    assert costofpass.ratio_of_means(costs, floats(0, 0, 0)) == INF
    assert math.isnan(costofpass.ratio_of_means(floats(math.nan), floats(1.0)))


def test_ratio_interval_without_a_pass_is_bounded_below() -> None:
    low, high = costofpass.ratio_interval(0.02, 10, np.full(50, 0.02), np.zeros(50))
    assert (low, high) == (pytest.approx(0.02 / 0.3084971078187608), INF)  # type: ignore[comparison-overlap]
    low, high = costofpass.ratio_interval(0.02, 10, np.full(50, 0.02), np.full(50, 0.5))
    assert (low, high) == (pytest.approx(0.04), pytest.approx(0.04))  # type: ignore[comparison-overlap]


def test_capped_retries_keep_the_ratio() -> None:
    success, spent = costofpass.capped_retries(0.05, 0.3, 4)
    assert success == pytest.approx(0.7599)
    assert spent == pytest.approx(0.12665)
    assert spent / success == pytest.approx(0.16666666666666669)
    assert costofpass.with_fallback(0.05, 0.3, 4, 1.0) == pytest.approx(0.36675)
    assert costofpass.capped_retries(0.05, 0.0, 4) == (0.0, pytest.approx(0.2))  # type: ignore[comparison-overlap]
    assert costofpass.with_fallback(0.05, 0.0, 4, 1.0) == pytest.approx(1.2)


def test_percentiles_take_infinity_and_leave_nan_out() -> None:
    draws = np.array([1.0, 2.0, INF, math.nan, INF])
    assert resampling.percentile_interval(draws) == (1.0, INF)
    assert all(math.isnan(end) for end in resampling.percentile_interval(floats(math.nan)))


def test_clustered_mean_by_hand() -> None:
    values, family = floats(1, 1, 0, 0, 1, 0), np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
    mean = clustered_mean(values, family)
    assert (mean.value, mean.n, mean.clusters) == (0.5, 6, 3)
    assert mean.error == pytest.approx(math.sqrt(3 / 2 * (1 + 1 + 0)) / 6)
    low, high = mean.interval()
    assert (high - low) / 2 == pytest.approx(4.302652729911275 * mean.error)


def test_pass_rate_picks_its_method() -> None:
    ones, families = np.ones(20), alone(20)
    rates = np.array([1.0, 0.0] * 10)
    single = pass_rate(rates, ones, families)
    assert single is not None
    assert single.method == "wilson"
    assert (single.low, single.high) == pytest.approx(wilson(10, 20))
    repeated = pass_rate(rates, ones * 3, families)
    assert repeated is not None
    assert repeated.method == "cluster-robust"
    few = pass_rate(rates, ones, families % 4)
    assert few is not None
    assert few.method == "cluster-robust"
    assert few.low < wilson(2, 4)[0]
    agreed = pass_rate(np.ones(20), ones, families % 4)
    assert agreed is not None
    assert (agreed.method, agreed.low) == ("wilson", pytest.approx(wilson(4, 4)[0]))  # type: ignore[comparison-overlap]
    assert pass_rate(np.full(3, math.nan), np.zeros(3), alone(3)) is None


@pytest.mark.parametrize("value", [0.0, 1 / 3, 0.1, 0.7, 1.0])
def test_an_interval_is_never_of_width_zero(value: float) -> None:
    found = pass_rate(np.full(30, value), np.full(30, 3.0), (alone(30) // 2).astype(np.int32))
    assert found is not None
    assert found.high - found.low > 0.1


@pytest.mark.parametrize(
    ("one", "two", "p"), [(0, 0, 1.0), (1, 0, 1.0), (0, 6, 0.03125), (10, 2, 0.03857421875)]
)
def test_mcnemar_exact(one: int, two: int, p: float) -> None:
    assert paired.mcnemar(one, two) == pytest.approx(p)
    assert paired.mcnemar(two, one) == pytest.approx(p)


def test_sign_flip_agrees_with_all_flips() -> None:
    """Five families of +1 each: 2 of 32 sign patterns are as far from zero."""
    p = paired.sign_flip(np.ones(5), alone(5), seed=3)
    assert p == pytest.approx(2 / 32, abs=0.01)


def found(value: float, error: float, n: int = 100, p: float = 0.5) -> paired.Difference:
    mean = Mean(value=value, error=error, n=n, clusters=n)
    return paired.Difference(mean=mean, p=p, both=0, only_system=0, only_baseline=0, neither=n)


@pytest.mark.parametrize(
    ("value", "error", "p", "kind"),
    [
        (0.0, 0.01, 1.0, "equivalent"),
        (-0.02, 0.005, 0.001, "equivalent"),
        (-0.2, 0.03, 0.001, "worse"),
        (0.2, 0.03, 0.001, "better"),
        (0.2, 0.03, 0.06, "inconclusive"),
        (-0.04, 0.03, 0.2, "inconclusive"),
    ],
)
def test_verdicts(value: float, error: float, p: float, kind: str) -> None:
    assert paired.verdict(found(value, error), p, 0.05) == kind


def test_what_is_needed_to_settle_it() -> None:
    """Gap 0.1 at a spread of 0.5: 0.1 n = (1.96 + 0.8416) x 0.5 sqrt(n) + 1, n = 215.8.

    No gap: both one-sided tests must reject, so each has 10 % to fail: 1.6449 + 1.2816.
    """
    assert paired.needed(found(0.1, 0.05), 0.05) == 216
    assert paired.needed(found(0.0, 0.05), 0.05) == math.ceil((2.9264051924 * 0.5 / 0.05) ** 2)
    assert paired.needed(found(0.05, 0.05), 0.05) == 825
    assert paired.needed(found(0.1, 0.05, n=5000), 0.05) is not None


def test_needed_asks_for_more_than_there_is() -> None:
    assert paired.needed(found(0.5, 0.01), 0.05) == 101


@pytest.mark.parametrize("error", [0.0, math.nan])
def test_needed_is_unknown_without_spread(error: float) -> None:
    assert paired.needed(found(0.0, error), 0.05) is None
    assert paired.needed(found(0.3, error), 0.05) is None


def test_agreement_is_not_certainty() -> None:
    """Twenty pairs alike can hide a difference of 1 - 0.05^(1/20), about 14 points."""
    gap = paired.difference(np.ones(20), np.ones(20), alone(20), epochs=1)
    assert gap is not None
    assert gap.interval == pytest.approx((-0.13911, 0.13911), abs=1e-5)
    assert paired.verdict(gap, gap.p, 0.05) == "inconclusive"
    many = paired.difference(np.ones(100), np.ones(100), alone(100), epochs=1)
    assert many is not None
    assert paired.verdict(many, many.p, 0.05) == "equivalent"


def test_difference_counts_the_pairs_and_uses_mcnemar() -> None:
    one, two = floats(1, 1, 0, 0, 1, math.nan), floats(1, 0, 1, 0, 0, 1)
    gap = paired.difference(one, two, alone(6), epochs=1)
    assert gap is not None
    assert (gap.both, gap.only_system, gap.only_baseline, gap.neither) == (1, 2, 1, 1)
    assert (gap.mean.n, gap.mean.value, gap.p) == (5, pytest.approx(0.2), 1.0)  # type: ignore[comparison-overlap]
    assert paired.difference(floats(math.nan), floats(1.0), alone(1), epochs=1) is None


def test_one_family_settles_nothing() -> None:
    family = np.zeros(6, dtype=np.int32)
    gap = paired.difference(np.ones(6), np.zeros(6), family, epochs=1)
    assert gap is not None
    assert paired.verdict(gap, gap.p, 0.05) == "inconclusive"
    assert paired.needed(gap, 0.05) is None
