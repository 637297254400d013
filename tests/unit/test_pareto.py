"""Frontiers worked out by hand: membership, dominance, knee, hypervolume, choices, aggregates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbench.benchmarks.analysis.frontier.aggregates import Aggregate, parametric, standings
from qbench.benchmarks.analysis.frontier.choosing import (
    best_within,
    cheapest_reaching,
    mixture,
    reached,
)
from qbench.benchmarks.analysis.frontier.hypervolume import contributions, in_box, volumes
from qbench.benchmarks.analysis.frontier.pareto import dominance, knees, losses, members
from qbench.benchmarks.analysis.resampling import resampled
from qbench.benchmarks.analysis.sums import Floats, Sums

RATES = np.array([[0.9, 0.8, 0.8, 0.95, 0.9]])
COSTS = np.array([[2.0, 1.0, 1.5, math.nan, 2.0]])


def plane(*points: tuple[float, ...]) -> Floats:
    return np.array([points], dtype=np.float64)


def test_members_are_beaten_by_nobody_and_equals_stay_together() -> None:
    drawn = losses((RATES, True), (COSTS, False))
    assert members(drawn).tolist() == [[True, True, False, False, True]]


def test_a_third_objective_makes_members_of_the_beaten() -> None:
    seconds = np.array([[3.0, 3.0, 1.0, 0.5, 4.0]])
    drawn = losses((RATES, True), (COSTS, False), (seconds, False))
    assert members(drawn).tolist() == [[True, True, True, False, False]]


def test_dominance_counts_resamples() -> None:
    one, two = plane((0.0, 0.0), (1.0, 0.0)), plane((1.0, 0.0), (0.0, 1.0))
    drawn = np.concatenate([one, one, one, two])
    assert dominance(drawn).tolist() == [[0.0, 0.75], [0.0, 0.0]]


def test_without_systems_there_is_nothing() -> None:
    nobody = np.zeros((3, 0, 2))
    assert members(nobody).shape == (3, 0)
    assert dominance(nobody).shape == (0, 0)
    assert knees(nobody, members(nobody)).shape == (3, 0)


@pytest.mark.parametrize(
    ("points", "knee"),
    [
        (((0.0, 1.0), (0.2, 0.2), (1.0, 0.0)), [False, True, False]),
        (((0.0, 1.0), (0.2, 0.2), (0.2, 0.2), (1.0, 0.0)), [False, True, True, False]),
        (((0.0, 1.0), (0.7, 0.7), (1.0, 0.0)), [False, False, False]),  # bulges away
        (((0.0, 1.0), (0.5, 0.5), (1.0, 0.0)), [False, False, False]),  # on the chord
        (((0.0, 1.0), (1.0, 0.0)), [False, False]),
        (((0.0, 0.0), (1.0, 1.0)), [True, False]),  # one member: best in everything
        (((0.0, math.inf), (0.1, 1.0), (0.2, 0.2), (1.0, 0.0)), [False, False, True, False]),
    ],
)
def test_the_knee(points: tuple[tuple[float, ...], ...], knee: list[bool]) -> None:
    drawn = plane(*points)
    assert knees(drawn, members(drawn))[0].tolist() == knee
    scaled = drawn * np.array([1000.0, 0.001])
    assert knees(scaled, members(scaled))[0].tolist() == knee


def box(*points: tuple[float, ...]) -> Floats:
    ends = len(points[0])
    return in_box(plane(*points), np.zeros(ends), np.ones(ends))


def test_areas_by_hand() -> None:
    assert volumes(box((0.5, 0.5))).tolist() == [0.25]
    assert volumes(box((0.25, 0.5), (0.5, 0.25)))[0] == pytest.approx(0.5)
    assert volumes(box((0.0, 0.0), (0.9, 0.9))).tolist() == [1.0]
    assert volumes(box((0.5, 1.0), (0.2, math.nan), (2.0, 0.1))).tolist() == [0.0]
    assert volumes(np.zeros((2, 0, 2))).tolist() == [0.0, 0.0]


def test_volumes_by_hand() -> None:
    assert volumes(box((0.5, 0.5, 0.5))).tolist() == [0.125]
    both = volumes(box((0.0, 0.5, 0.5), (0.5, 0.0, 0.5)))[0]
    assert both == pytest.approx((0.5 + 0.5 - 0.25) * 0.5)
    apart = volumes(box((0.5, 0.5, 0.0), (0.0, 0.0, 0.5)))[0]
    assert apart == pytest.approx(0.25 * 0.5 + 0.5)


def test_contributions_by_hand() -> None:
    made = box((0.25, 0.5), (0.5, 0.25), (0.6, 0.6))
    lost = contributions(made, np.array([True, True, False]))
    assert lost[0].tolist() == pytest.approx([0.25 * 0.5, 0.25 * 0.5, 0.0])


def test_a_reference_must_be_worse_than_the_ideal() -> None:
    for reference in ([1.0, 0.0], [1.0, math.inf], [1.0, math.nan]):
        with pytest.raises(ValueError, match="worse than the ideal"):
            in_box(plane((0.5, 0.5)), np.zeros(2), np.array(reference))
    with pytest.raises(ValueError, match="2 or 3"):
        volumes(np.zeros((1, 1, 4)))


def test_the_best_at_a_budget_is_the_cheaper_of_equals() -> None:
    quality, spend = np.array([[0.9, 0.8, 0.8, 0.7]]), np.array([[4.0, 2.0, 1.0, 0.5]])
    assert best_within(quality, spend, 3.0).tolist() == [[False, False, True, False]]
    assert not best_within(quality, spend, 0.1).any()
    assert reached(quality, best_within(quality, spend, 0.1)).tolist() == [0.0]
    assert reached(quality, best_within(quality, spend, 9.0)).tolist() == [0.9]


def test_the_cheapest_that_reaches_is_the_better_of_equals() -> None:
    quality, spend = np.array([[0.9, 0.8, 0.85, 0.95]]), np.array([[4.0, 1.0, 1.0, math.nan]])
    assert cheapest_reaching(quality, spend, 0.8).tolist() == [[False, False, True, False]]
    assert cheapest_reaching(quality, spend, 0.9).tolist() == [[True, False, False, False]]
    assert not cheapest_reaching(quality, spend, 0.92).any()


def test_a_mixture_lies_on_the_chord() -> None:
    found = mixture(np.array([0.4, 0.45, 0.8]), np.array([1.0, 2.0, 5.0]), 3.0)
    assert found is not None
    assert (found.cheaper, found.dearer) == (0, 2)
    assert found.share == 0.5
    assert found.quality == pytest.approx(0.6)
    assert mixture(np.array([0.4, 0.3]), np.array([1.0, 5.0]), 3.0) is None
    assert mixture(np.array([0.4, 0.9]), np.array([1.0, 5.0]), 0.5) is None
    assert mixture(np.array([0.4, 0.9]), np.array([1.0, math.nan]), 2.0) is None


def test_aggregates_say_who_is_where_and_never_call_unknown_free() -> None:
    rows = [
        Aggregate(name="good", n=100, passed=90, cost=0.9),
        Aggregate(name="cheap", n=100, passed=60, cost=0.1),
        Aggregate(name="bad", n=100, passed=30, cost=0.5),
        Aggregate(name="free?", n=100, passed=95, cost=0.0),
        Aggregate(name="untold", n=100, passed=99),
    ]
    found = {one.name: one for one in standings(rows)}
    assert [one.undominated for one in found.values()] == [True, True, False, False, False]
    assert [found[name].on_frontier for name in ("free?", "untold")] == [None, None]
    assert found["free?"].cost_of_pass is None
    assert found["free?"].cost_of_pass_interval is None
    assert found["good"].cost_of_pass == pytest.approx(1.0)
    ends = found["good"].cost_of_pass_interval
    assert ends is not None
    assert ends[0] < 1.0 < ends[1]
    assert found["bad"].dominated_by["cheap"] > 0.99
    assert found["bad"].on_frontier == 0.0
    assert standings([]) == []


def test_aggregates_without_a_pass_cost_infinity_per_pass() -> None:
    (none,) = standings([Aggregate(name="none", n=50, passed=0, cost=1.0)])
    assert none.cost_of_pass == math.inf
    assert none.cost_of_pass_interval is not None
    low, high = none.cost_of_pass_interval
    assert (round(low, 2), high) == (14.06, math.inf)


def test_aggregates_use_an_error_where_it_is_told() -> None:
    rows = [Aggregate(name="a", n=40, passed=20.5, cost=1.0, cost_error=0.1)]
    rates, costs = parametric(rows, resamples=4000)
    assert rates.mean() == pytest.approx(0.512, abs=0.01)
    assert costs.std() == pytest.approx(0.1, rel=0.1)
    with pytest.raises(ValueError, match="from 0 to n: a"):
        parametric([Aggregate(name="a", n=4, passed=5)])


def test_probabilities_are_right_where_the_truth_is_known() -> None:
    """Forty worlds of five systems; docs/frontier.md has the large tables."""
    rng, said, true = np.random.default_rng(7), [], []
    for seed in range(40):
        ability, price = rng.normal(0, 1.5, 5), rng.uniform(1, 10, 5)
        chances = 1 / (1 + np.exp(rng.normal(0, 1, (1, 2000)) - ability[:, None]))
        tried = chances[:, :150]
        passed = (rng.random(tried.shape) < tried).astype(np.float64)
        spent = price[:, None] * rng.uniform(0.8, 1.2, tried.shape)
        family = np.arange(150, dtype=np.int32)
        n = np.ones(tried.shape)
        sums = Sums(n=n, passed=passed, cost=spent, family=family, families=150)
        rates, costs = resampled(sums, resamples=300, seed=seed)
        said.append(members(losses((rates, True), (costs, False))).mean(axis=0))
        real = losses((chances.mean(axis=1)[None], True), (price[None], False))
        true.append(members(real)[0])
    shares, facts = np.concatenate(said), np.concatenate(true)
    spread = math.sqrt(float((shares * (1 - shares)).sum()))
    assert abs(float(shares.sum()) - int(facts.sum())) < 3 * spread
    assert facts[shares > 0.95].mean() > 0.95
    assert facts[shares < 0.05].mean() < 0.05
