"""Laws of the cost of pass."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.economics.minima import (
    cheapest,
    drawn_means,
    lowest,
    shares,
)
from qbench.benchmarks.analysis.economics.retries import tries
from qbench.benchmarks.analysis.sums import Floats

shapes = st.tuples(st.integers(1, 5), st.integers(1, 12))
experts = st.floats(0.001, 100)


@st.composite
def measured(draw: st.DrawFn) -> Floats:
    """Draw (Y, S) dollars per right answer, infinite in places."""
    shape = draw(shapes)
    costs = draw(arrays(np.float64, shape, elements=st.floats(1e-6, 50)))
    passed = draw(arrays(np.int64, shape, elements=st.integers(0, 4)))
    return per_problem(costs, passed / 4)


def frontier(v: Floats, members: list[int], expert: float) -> float:
    chosen = np.zeros((1, len(v)), dtype=bool)
    chosen[0, members] = True
    return float(lowest(v, chosen, expert).mean())


@given(measured(), experts)
def test_more_systems_never_cost_more_and_never_more_than_the_expert(
    v: Floats, expert: float
) -> None:
    steps = [frontier(v, list(range(some)), expert) for some in range(len(v) + 1)]
    assert steps[0] == pytest.approx(expert)
    assert all(after <= before for before, after in pairwise(steps))


@given(measured(), experts, st.data())
def test_essentialness_is_a_share_and_a_duplicate_has_none(
    v: Floats, expert: float, data: st.DataObject
) -> None:
    everybody = list(range(len(v)))
    one = data.draw(st.sampled_from(everybody))
    whole = frontier(v, everybody, expert)
    without = frontier(v, [place for place in everybody if place != one], expert)
    assert 0 <= shares(without, whole) <= 1
    twice = np.concatenate([v, v[[one]]])
    assert frontier(twice, [*everybody, len(v)], expert) == whole
    left = frontier(twice, [place for place in range(len(v) + 1) if place != one], expert)
    assert shares(left, whole) == 0


@given(measured(), experts, st.sampled_from([0.25, 2.0, 1024.0]))
def test_prices_scale_v_and_leave_shares_alone(v: Floats, expert: float, factor: float) -> None:
    everybody = list(range(len(v)))
    before, after = (frontier(scale * v, everybody, scale * expert) for scale in (1.0, factor))
    assert after == pytest.approx(factor * before)
    assert (cheapest(factor * v, factor * expert) == cheapest(v, expert)).all()


@given(measured(), experts)
def test_each_problem_has_one_winner_or_none(v: Floats, expert: float) -> None:
    wins = cheapest(v, expert).sum(axis=0)
    solved = v.min(axis=0) <= expert
    assert np.allclose(wins, solved)


@given(measured(), experts, st.randoms(use_true_random=False))
def test_order_does_not_matter(v: Floats, expert: float, random: object) -> None:
    rng = np.random.default_rng(hash(random) % 2**32)
    rows, columns = rng.permutation(len(v)), rng.permutation(v.shape[1])
    again = v[np.ix_(rows, columns)]
    everybody = list(range(len(v)))
    assert frontier(again, everybody, expert) == pytest.approx(frontier(v, everybody, expert))


@given(measured(), experts)
def test_resampled_frontiers_obey_the_same_laws(v: Floats, expert: float) -> None:
    steps = np.tril(np.ones((len(v) + 1, len(v)), dtype=bool), -1)
    found = drawn_means(lowest(v, steps, expert), np.arange(v.shape[1]), resamples=50)
    assert (np.diff(found.draws, axis=1) <= 1e-9).all()
    assert (found.draws <= expert * (1 + 1e-9)).all()


@given(st.integers(1, 12), st.data())
def test_more_retries_solve_more_and_cost_more(n: int, data: st.DataObject) -> None:
    passed = np.array([float(data.draw(st.integers(0, n)))])
    steps = [tries(passed, np.array([float(n)]), k) for k in range(1, 2 * n + 1)]
    success = [float(one[0]) for one, _ in steps]
    number = [float(one[0]) for _, one in steps]
    assert all(b >= a - 1e-12 for a, b in pairwise(success[:n]))
    assert all(b >= a - 1e-12 for a, b in pairwise(number[:n]))
    assert all(0 <= one <= 1 for one in success)
    assert all(one <= k for k, one in enumerate(number, 1))
