"""Capped retries, by formula and problem by problem."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from qbench.benchmarks.analysis.economics.costofpass import capped_retries, with_fallback
from qbench.benchmarks.analysis.economics.retries import tries
from qbench.benchmarks.analysis.rates import pass_at_k
from tests.worked import WORKED

CASE = WORKED["capped_retries"]


def test_the_worked_example() -> None:
    success, cost = capped_retries(CASE["C"], CASE["R"], CASE["K"])
    assert success == pytest.approx(CASE["success"])
    assert cost == pytest.approx(CASE["expected_cost"])
    assert cost / success == pytest.approx(CASE["ratio"])
    fallback = with_fallback(CASE["C"], CASE["R"], CASE["K"], 1.0)
    assert fallback == pytest.approx(CASE["with_expert_fallback_1usd"])


def test_beyond_the_recorded_attempts_it_is_the_formula() -> None:
    n, passed = np.array([10.0]), np.array([3.0])
    success, number = tries(passed, n, 40)
    assert success[0] == pytest.approx(1 - 0.7**40)
    assert number[0] == pytest.approx((1 - 0.7**40) / 0.3)


@pytest.mark.parametrize("passed", range(5))
@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_within_them_it_is_the_mean_over_all_orders(passed: int, attempts: int) -> None:
    orders = list(permutations([True] * passed + [False] * (4 - passed)))
    solved = [any(order[:attempts]) for order in orders]
    made = [(*order[:attempts], True).index(True) + 1 for order in orders]
    success, number = tries(np.array([float(passed)]), np.array([4.0]), attempts)
    assert success[0] == pytest.approx(np.mean(solved))
    assert success[0] == pytest.approx(pass_at_k(4, passed, attempts))
    assert number[0] == pytest.approx(np.mean(np.minimum(made, attempts)))


def test_trying_again_solves_nothing_that_is_never_solved() -> None:
    success, number = tries(np.array([0.0, 5.0]), np.array([5.0, 5.0]), 1000)
    assert success.tolist() == [0, 1]
    assert number.tolist() == [1000, 1]
    with pytest.raises(ValueError, match="at least one attempt"):
        tries(np.array([1.0]), np.array([1.0]), 0)
