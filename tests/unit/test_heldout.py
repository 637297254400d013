"""Choosing on half of the attempts and paying on the other half."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.economics.heldout import Half, held_out
from qbench.benchmarks.analysis.sums import Floats

INF = math.inf


def half(passed: Floats, costs: Floats) -> Half:
    """Make a half of (Y, S, h) attempts."""
    return Half(
        n=np.full(passed.shape[:2], float(passed.shape[2])),
        passed=passed.sum(axis=-1),
        cost=costs.sum(axis=-1),
        cost_passed=(passed * costs).sum(axis=-1),
    )


def test_what_is_paid_is_the_mean_over_all_orders() -> None:
    passed = np.array([[[1.0, 0.0, 1.0, 0.0]]])
    costs = np.array([[[1.0, 2.0, 4.0, 8.0]]])
    bills = []
    for order in permutations(range(4)):
        bill = 0.0
        for place in order:
            bill += costs[0, 0, place]
            if passed[0, 0, place]:
                break
        bills.append(bill)
    assert half(passed, costs).paid(100.0)[0, 0] == pytest.approx(np.mean(bills))
    assert half(0 * passed, costs).paid(100.0)[0, 0] == pytest.approx(15.0 + 100.0)
    assert half(0 * passed, costs).paid(INF)[0, 0] == INF


def test_each_half_chooses_and_pays_once() -> None:
    one = half(np.array([[[1.0]], [[0.0]]]), np.array([[[3.0]], [[1.0]]]))
    two = half(np.array([[[1.0]], [[1.0]]]), np.array([[[3.0]], [[1.0]]]))
    # the first half chooses system 0, which then pays 3; the second chooses 1, which fails: 1 + 10
    assert held_out(one, two, 10.0).tolist() == [(3.0 + 11.0) / 2]
    assert held_out(one, two, 2.0).tolist() == [(2.0 + 3.0) / 2]


def test_a_problem_that_nobody_passes_goes_to_the_expert_at_once() -> None:
    none = half(np.zeros((2, 1, 2)), np.ones((2, 1, 2)))
    assert held_out(none, none, 7.0).tolist() == [7.0]
    assert held_out(none, none).tolist() == [INF]


def test_a_problem_without_attempts_in_a_half_is_unknown() -> None:
    some = half(np.ones((1, 2, 1)), np.ones((1, 2, 1)))
    gone = Half(
        n=np.array([[1.0, 0.0]]),
        passed=np.array([[1.0, 0.0]]),
        cost=np.array([[1.0, 0.0]]),
        cost_passed=np.array([[1.0, 0.0]]),
    )
    assert np.isnan(held_out(some, gone, 5.0)).tolist() == [False, True]


def test_it_does_not_flatter_where_the_minimum_does() -> None:
    """Twenty equal systems, four attempts: the minimum is far below what anybody pays."""
    rng = np.random.default_rng(0)
    systems, problems, rate, expert = 20, 4000, 0.3, 50.0
    passed = (rng.random((systems, problems, 4)) < rate).astype(np.float64)
    costs = np.ones_like(passed)
    v = per_problem(costs.mean(axis=-1), passed.mean(axis=-1))
    flattered = float(np.minimum(v.min(axis=0), expert).mean())
    honest = float(
        held_out(
            half(passed[..., :2], costs[..., :2]), half(passed[..., 2:], costs[..., 2:]), expert
        ).mean()
    )
    truth = 1 + (1 - rate) + (1 - rate) ** 2 * expert
    assert flattered < 0.5 / rate
    assert honest == pytest.approx(truth, rel=0.05)
