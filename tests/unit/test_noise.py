"""Noise measured where its size is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.benchmarks.analysis.comparison.paired import difference, verdict
from qbench.benchmarks.analysis.noise.flips import divergence, flips, length_spread, std_at_accuracy
from qbench.benchmarks.analysis.sums import Floats

NAN = math.nan
ALONE = np.arange(6, dtype=np.int32)


def test_std_at_accuracy_as_worked_out() -> None:
    # arXiv 2506.09501: the sample standard deviation over configurations
    found = std_at_accuracy([0.4333, 0.4667, 0.4, 0.4333])
    assert found == pytest.approx(0.0272302, abs=5e-8)
    assert std_at_accuracy([0.5]) is None


def test_length_spread_is_the_mean_of_each_samples_deviation() -> None:
    one, two = [100.0, 110.0, 120.0, 130.0], [50.0, 50.0, 50.0, 50.0]
    found = length_spread(np.array([one, two]).T)
    assert found == pytest.approx(math.sqrt(500 / 3) / 2)
    assert found == pytest.approx(6.454972243679028)
    with_unknown = length_spread(np.array([[*one], [NAN, *one[1:]]]).T)
    assert with_unknown == pytest.approx(math.sqrt(500 / 3))
    assert length_spread(np.array([one])) is None
    assert length_spread(np.full((2, 3), NAN)) is None


def test_divergence_is_the_first_position_that_differs() -> None:
    assert divergence([1, 2, 3, 4, 5], [1, 2, 3, 9, 5]) == 3
    assert divergence("the sum", "the sum") is None
    assert divergence("the sum", "the sum is") == 7
    assert divergence("", "x") == 0


@given(st.text(max_size=20), st.text(max_size=20))
def test_outputs_agree_before_they_diverge(one: str, two: str) -> None:
    place = divergence(one, two)
    assert place == divergence(two, one)
    if place is None:
        assert one == two
    else:
        assert one[:place] == two[:place]
        assert one[place : place + 1] != two[place : place + 1]


def test_flips_count_both_directions_on_shared_samples() -> None:
    system = np.array([1, 0, 1, 0, NAN, 1.0])
    baseline = np.array([1, 1, 0, 0, 1, NAN])
    found = flips(system, baseline, ALONE)
    assert found is not None
    assert (found.lost, found.won, found.rate.n) == (1, 1, 4)
    assert found.rate.value == 0.5
    assert found.rate.low < 0.5 < found.rate.high
    assert flips(system, np.full(6, NAN), ALONE) is None


def test_no_flip_is_not_a_rate_of_exactly_zero() -> None:
    found = flips(np.ones(6), np.ones(6), ALONE)
    assert found is not None
    assert found.rate.value == found.rate.low == 0
    assert found.rate.high > 0.2  # six samples can hide that much


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_flips_are_at_least_the_difference(pairs: list[tuple[bool, bool]]) -> None:
    system, baseline = np.array(pairs, dtype=np.float64).T
    found = flips(system, baseline, np.arange(len(pairs), dtype=np.int32))
    assert found is not None
    assert found.rate.value >= abs(system.mean() - baseline.mean()) - 1e-12
    assert found.won - found.lost == system.sum() - baseline.sum()


def simulated(rng: np.random.Generator, families: int, size: int) -> tuple[Floats, Floats]:
    """The same system measured twice: samples of one family are about equally hard."""
    hard = rng.beta(2, 2, size=families).repeat(size)
    return tuple(  # type: ignore[return-value]  # a pair
        (rng.random(families * size) < hard).astype(np.float64) for _ in range(2)
    )


def most(trials: int, rate: float) -> int:
    """The number of false alarms that chance exceeds once in ten thousand such tests."""
    return math.ceil(trials * rate + 3.72 * math.sqrt(trials * rate * (1 - rate)))


@pytest.mark.parametrize(("families", "size"), [(150, 1), (40, 4), (10, 12)])
def test_the_same_measured_twice_is_rarely_a_finding(families: int, size: int) -> None:
    """An A/A run may be called worse or better at most as often as the level says: 5 %."""
    rng = np.random.default_rng(20_261_125)
    family = np.arange(families, dtype=np.int32).repeat(size)
    trials, alarms, beyond = 300, 0, 0
    for trial in range(trials):
        one, two = simulated(rng, families, size)
        gap = difference(one, two, family, epochs=1, seed=trial)
        assert gap is not None
        alarms += verdict(gap, gap.p, 0.05) in ("worse", "better")
        low, high = gap.interval
        beyond += not low <= 0 <= high
    assert alarms <= most(trials, 0.05), json.dumps({"alarms": alarms, "beyond": beyond})
    assert beyond <= most(trials, 0.05)
