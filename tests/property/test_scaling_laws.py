"""What holds for test-time scaling whatever the attempts are."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qbench.benchmarks.analysis.scaling import kinetics, saturation
from qbench.benchmarks.analysis.scaling.coverage import coverage, reliability, voted
from qbench.benchmarks.analysis.scaling.strategies import PERFECT, outlooks
from qbench.benchmarks.analysis.scaling.tallies import Redraws, Row
from qbench.benchmarks.analysis.scaling.verifier import (
    Stakes,
    Verifier,
    answers,
    best_cap,
    limit,
    measured,
    reward,
    supposed,
)

SHARES = st.floats(0, 1)
OPEN = st.floats(0.01, 0.99)
NEAR = 1e-9


@st.composite
def counts(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Attempts and passes of a few samples."""
    n = draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    c = [draw(st.integers(0, most)) for most in n]
    return np.array(n), np.array(c)


@st.composite
def verifiers(draw: st.DrawFn) -> Verifier:
    return Verifier(completeness=draw(SHARES), soundness=draw(SHARES))


@given(counts())
def test_coverage_rises_and_reliability_falls_from_the_pass_rate(
    seen: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    n, c = seen
    for place in range(len(n)):
        ks = range(1, int(n[place]) + 1)
        one, two = n[place : place + 1], c[place : place + 1]
        some, every = coverage(one, two, ks)[0], reliability(one, two, ks)[0]
        vote = voted(one, two, ks)[0]
        assert (np.diff(some) >= -NEAR).all()
        assert (np.diff(every) <= NEAR).all()
        assert (np.diff(some, n=2) <= NEAR).all()
        assert math.isclose(some[0], two[0] / one[0])
        assert math.isclose(every[0], two[0] / one[0])
        assert ((every <= vote + NEAR) & (vote <= some + NEAR)).all()


@given(counts(), verifiers())
def test_a_perfect_verifier_reaches_coverage_and_no_other_more(
    seen: tuple[NDArray[np.int64], NDArray[np.int64]], verifier: Verifier
) -> None:
    n, c = seen
    depth = int(n.min())
    best, false = answers(measured(n, c, PERFECT, depth), PERFECT)
    assert np.allclose(best, coverage(n, c, range(1, depth + 1)))
    assert not false.any()
    right, false = answers(measured(n, c, verifier, depth), verifier)
    assert (right <= best + NEAR).all()
    assert (right + false <= 1 + NEAR).all()
    assert (np.diff(right, axis=1) >= -NEAR).all()


@given(OPEN, verifiers())
def test_the_ceiling_is_the_limit_and_knows_no_k(r: float, verifier: Verifier) -> None:
    rate = np.array([r])
    if verifier.rejects(rate)[0] > 0.98:
        return
    right, false = answers(supposed(rate, verifier, 1500), verifier)
    shares = right[0] / np.maximum(right + false, 1e-300)[0]
    assert np.allclose(shares, verifier.ceiling(rate)[0])
    assert math.isclose(right[0, -1], verifier.ceiling(rate)[0], rel_tol=1e-6, abs_tol=1e-9)
    end = limit(rate, np.ones(1), verifier)
    assert math.isclose(end, verifier.ceiling(rate)[0], rel_tol=1e-9, abs_tol=1e-12)


@given(st.lists(SHARES, min_size=1, max_size=4), verifiers(), st.floats(0, 3), st.floats(0, 3))
def test_a_dearer_false_positive_never_raises_the_best_cap(
    rates: list[float], verifier: Verifier, one: float, two: float
) -> None:
    r = np.array(rates)
    share = np.full(len(r), 1 / len(r))
    tries = supposed(r, verifier, 40)
    low, high = sorted((one, two))
    cheap = share @ reward(tries, verifier, Stakes(false_positive=low))
    dear = share @ reward(tries, verifier, Stakes(false_positive=high))
    most = float(cheap.max())
    last = int(np.flatnonzero(cheap >= most - 1e-12)[-1]) + 1  # ties by rounding are no change
    assert best_cap(dear)[0] <= last
    assert (dear <= cheap + NEAR).all()


@given(counts(), verifiers(), st.randoms(use_true_random=False))
def test_order_and_repeats_change_nothing(
    seen: tuple[NDArray[np.int64], NDArray[np.int64]], verifier: Verifier, chance: object
) -> None:
    n, c = seen
    order = np.argsort(np.random.default_rng(len(repr(chance))).random(len(n)))
    depth = int(n.min())
    straight = measured(n, c, verifier, depth)
    mixed = measured(n[order], c[order], verifier, depth)
    assert np.array_equal(straight.right[order], mixed.right)
    assert np.array_equal(straight.wrong[order], mixed.wrong)


@given(st.floats(0.05, 1), st.floats(0.02, 0.95), st.floats(1e-4, 0.2))
def test_formula_and_scan_of_saturation_agree(most: float, hit: float, least: float) -> None:
    one = saturation.model(most, hit)
    gains = one.gain(np.arange(2000.0))[0]
    formula = int(one.saturation(least)[0])
    scan = int(np.flatnonzero(gains <= least)[0])
    if formula != scan:  # a gain that is the least but for rounding
        assert math.isclose(float(gains[min(formula, scan)]), least, rel_tol=1e-9)


@given(st.floats(0.1, 1), st.floats(0.05, 0.9), st.integers(4, 40))
def test_a_fit_finds_its_own_curve(most: float, hit: float, last: int) -> None:
    ks = list(range(1, last + 1))
    curve = saturation.model(most, hit).reached(np.array(ks, dtype=float))
    found = saturation.fitted(ks, curve, np.ones(len(ks)))
    assert np.allclose(found.reached(np.array(ks, dtype=float)), curve, atol=1e-4)


@given(st.integers(0, 3000), st.integers(0, 300), st.integers(1, 3000))
def test_attended_tokens_are_the_sum(prompt: int, reply: int, budget: int) -> None:
    p, r = np.array([float(prompt)]), np.array([float(reply)])
    steps = [min(budget, prompt + t) for t in range(1, reply + 1)]
    assert kinetics.attended(p, r, budget)[0] == sum(steps)
    assert kinetics.attended(p, r)[0] == sum(prompt + t for t in range(1, reply + 1))
    assert abs(kinetics.attended_midway(p, r, budget)[0] - sum(steps)) <= reply / 2


@given(counts(), st.floats(0.01, 100), st.floats(0.1, 10))
def test_costs_scale_and_stopping_early_is_never_dearer(
    seen: tuple[NDArray[np.int64], NDArray[np.int64]], cost: float, factor: float
) -> None:
    n, c = seen
    depth = int(n.min())

    def made(scale: float, *, at_once: bool) -> NDArray[np.float64]:
        row = Row(
            n=n,
            passed=c,
            right_cost=np.full(len(n), cost * scale),
            wrong_cost=np.full(len(n), 2 * cost * scale),
            kept=np.ones(len(n), dtype=bool),
            most=depth,
        )
        return outlooks(row, range(1, depth + 1), None, at_once=at_once)[-1].cost

    assert np.allclose(made(factor, at_once=False), factor * made(1, at_once=False))
    assert (made(1, at_once=False) <= made(1, at_once=True) * (1 + NEAR)).all()


@given(counts())
def test_resampled_means_of_one_family_are_the_mean(
    seen: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    n, c = seen
    values = (c / n)[None]
    family = np.zeros(len(n), dtype=np.int32)
    drawn = Redraws(family=family, times=np.ones((3, 1)))
    assert np.allclose(drawn.means(values), values.mean())
