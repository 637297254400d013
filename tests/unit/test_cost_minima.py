"""Minima per problem over many sets of systems, and their bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbench.benchmarks.analysis.economics.costofpass import (
    per_problem,
    ratio_interval,
    ratio_of_means,
)
from qbench.benchmarks.analysis.economics.minima import (
    Bounds,
    cheapest,
    drawn_means,
    gains,
    lowest,
    share_limits,
    shares,
    value_interval,
)
from qbench.benchmarks.analysis.rates import zero_pass_bound
from qbench.benchmarks.analysis.resampling import expanded
from qbench.benchmarks.analysis.sums import Floats
from tests.worked import WORKED

INF = math.inf
CASE = WORKED["cost_of_pass"]
PROBLEMS = ("p1", "p2", "p3")
SETS = np.array([[False, False], [True, False], [False, True], [True, True]])
NOBODY, FIRST, SECOND, BOTH = range(4)


def recorded() -> tuple[Floats, Floats]:
    """Return (2, 3) mean costs and pass rates of the worked example's runs."""
    runs = np.array(
        [[CASE["inputs"][m][p] for p in PROBLEMS] for m in ("m1", "m2")], dtype=np.float64
    )
    return runs[:, :, 1].mean(axis=-1), runs[:, :, 0].mean(axis=-1)


def test_the_worked_example_of_the_paper() -> None:
    costs, rates = recorded()
    v = per_problem(costs, rates)
    assert v.tolist() == [
        pytest.approx([float(CASE["v"][m][p]) for p in PROBLEMS]) for m in ("m1", "m2")
    ]
    both = lowest(v, SETS, CASE["expert_cost"])
    means = drawn_means(both, np.arange(3), resamples=10).means
    assert means.tolist() == pytest.approx(
        [CASE["V_expert_only"], CASE["V_m1"], CASE["V_m2"], CASE["V_m1_m2"]]
    )
    per = CASE["per_problem_frontier_m1_m2"]
    assert both[BOTH].tolist() == pytest.approx([per[p] for p in PROBLEMS])
    gain = gains(means[FIRST], means[BOTH])
    assert gain == pytest.approx(CASE["gain_of_m2_over_{m1,expert}"])
    assert shares(means[SECOND], means[BOTH]) == pytest.approx(CASE["essentialness_m1"])
    assert shares(means[FIRST], means[BOTH]) == pytest.approx(CASE["essentialness_m2"])
    assert ratio_of_means(costs[0], rates[0]) == pytest.approx(CASE["ratio_of_means_m1"])


def test_without_an_expert_an_unsolved_problem_is_infinite() -> None:
    costs, rates = recorded()
    v = per_problem(costs, rates)
    assert lowest(v, SETS)[NOBODY].tolist() == [INF] * 3
    assert lowest(v, SETS)[BOTH].tolist() == pytest.approx([0.02, 1.0, 0.12])
    assert lowest(v, SETS[:0]).shape == (0, 3)


def test_a_missing_problem_is_refused() -> None:
    with pytest.raises(ValueError, match="no record for a problem"):
        lowest(np.array([[1.0, math.nan]]), np.array([[True]]), 2.0)


def test_equals_share_a_problem_and_a_cheaper_expert_takes_it() -> None:
    v = np.array([[1.0, 2.0, INF, 9.0], [1.0, 3.0, INF, 8.0]])
    assert cheapest(v, 5.0).tolist() == [[0.5, 1, 0, 0], [0.5, 0, 0, 0]]
    assert cheapest(v)[1, 3] == 1


def test_resamples_with_an_infinite_problem_are_infinite() -> None:
    values = np.array([[1.0, 2.0, 3.0, INF], [1.0, 2.0, 3.0, 4.0]])
    found = drawn_means(values, np.array([7, 7, 9, 11]), resamples=4000, seed=3)
    assert found.families == 3
    assert found.means.tolist() == [INF, 2.5]
    share = float(np.isinf(found.draws[:, 0]).mean())
    assert share == pytest.approx(1 - (2 / 3) ** 3, abs=0.03)
    finite = np.isfinite(found.draws[:, 0])
    assert np.allclose(found.draws[finite, 0], found.draws[finite, 1])
    assert found.interval(0)[1] == INF


def test_resampled_means_are_those_of_the_drawn_families() -> None:
    rng = np.random.default_rng(5)
    values, family = rng.random((3, 40)), rng.integers(0, 9, 40)
    found = drawn_means(values, family, resamples=20_000, seed=1)
    sizes = np.bincount(family)
    totals = np.stack([np.bincount(family, row) for row in values])
    error = np.sqrt(((totals - values.mean(axis=1)[:, None] * sizes) ** 2).sum(axis=1)) / 40
    assert found.draws.std(axis=0).tolist() == pytest.approx(error.tolist(), rel=0.1)
    assert found.draws.mean(axis=0).tolist() == pytest.approx(found.means.tolist(), abs=0.01)


def test_an_interval_knows_what_a_bootstrap_cannot_see() -> None:
    bounds = Bounds(expert=10.0, attempt=0.5)
    hidden = zero_pass_bound(20)
    solved = value_interval(1.0, (0.9, 1.1), 20, at_expert=0.0, bounds=bounds)
    assert list(solved) == pytest.approx([0.9, 1.0 + hidden * 9.0])
    hopeless = value_interval(10.0, (10.0, 10.0), 20, at_expert=1.0, bounds=bounds)
    assert list(hopeless) == pytest.approx([10.0 - hidden * 9.5, 10.0])
    few = value_interval(2.8, (2.0, 3.5), 20, at_expert=0.1, bounds=bounds)
    most = share_limits(2, 20)[1]
    assert list(few) == pytest.approx([2.0, 2.8 + (most - 0.1) * 8])
    mixed = value_interval(4.0, (3.0, 5.0), 20, at_expert=0.4, bounds=bounds)
    assert mixed == (3.0, 5.0)
    alone = value_interval(4.0, (4.0, 4.0), 1, at_expert=0.4, bounds=bounds)
    assert alone == (0.5, 10.0)
    endless = Bounds(expert=INF, attempt=0.5)
    assert value_interval(4.0, (3.0, INF), 9, at_expert=0.0, bounds=endless) == (3.0, INF)


def test_limits_of_a_share_are_clopper_and_pearsons() -> None:
    assert list(share_limits(0, 20)) == pytest.approx([0.0, zero_pass_bound(20)])
    assert list(share_limits(2, 20)) == pytest.approx([0.012349, 0.316983], abs=1e-6)
    assert list(share_limits(20, 20)) == pytest.approx([1 - zero_pass_bound(20), 1.0])


def test_infinity_is_a_value_in_gains_and_shares() -> None:
    assert gains(np.array([INF, INF, 3.0]), np.array([INF, 2.0, 1.0])).tolist() == [0, INF, 2]
    assert shares(np.array([INF, INF, 4.0, 0.0]), np.array([INF, 2.0, 1.0, 0.0])).tolist() == [
        0,
        1,
        0.75,
        0,
    ]


def test_few_families_take_wider_percentiles() -> None:
    """Of ten normal means: Student's quantile times sqrt(10/9), as a normal percentile."""
    assert expanded(10) == pytest.approx(0.98290, abs=2e-5)
    assert expanded(10_000) == pytest.approx(0.95, abs=1e-4)
    assert expanded(1) == 0.95


def test_intervals_hold_the_truth_of_few_and_many_families() -> None:
    """Families of three problems that share length and difficulty, each tried four times."""
    rng = np.random.default_rng(4)
    for families in (10, 40):
        family = np.repeat(np.arange(families), 3)
        held = np.zeros(2)
        for _ in range(400):
            length = np.exp(0.5 * rng.normal(size=families))[family]
            v = length * rng.gamma(4, 0.25, len(family))
            passed = rng.binomial(4, rng.beta(2, 2, families)[family]) / 4
            found = drawn_means(np.stack([v, passed]), family, resamples=400)
            low, high = found.interval(0)
            held[0] += low <= math.exp(0.125) <= high
            cost, rate = found.draws.T
            low, high = ratio_interval(float(v.mean()), families, cost, rate)
            held[1] += low <= math.exp(0.125) / 0.5 <= high
        assert (held / 400 >= 0.89).all()
        assert (held / 400 <= 0.98).all()
