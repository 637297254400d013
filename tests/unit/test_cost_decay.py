"""Exponential decay of a frontier."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbench.benchmarks.analysis.economics.decay import decay, halving_time
from qbench.benchmarks.analysis.sums import Floats
from tests.worked import WORKED

CASE = WORKED["frontier_decay"]
MONTHS = np.array([0.0, 1.2, 2.3, 4.0, 6.8, 8.3])


def falling(a: float, b: float, c: float) -> Floats:
    return np.asarray(a * np.exp(-b * MONTHS) + c, dtype=np.float64)


def test_the_worked_halving_times() -> None:
    assert halving_time(CASE["b_per_month"]) == pytest.approx(CASE["half_life_months"])
    assert halving_time(CASE["b_for_T_half_2.6"]) == pytest.approx(2.6)
    assert halving_time(CASE["b_for_T_half_7.1"]) == pytest.approx(7.1)
    assert halving_time(0.0) == math.inf


@pytest.mark.parametrize(("a", "b", "c"), [(5.0, 0.3, 0.5), (20.0, 0.0976, 2.0), (1e-4, 0.27, 0.0)])
def test_a_clean_decay_is_found_again(a: float, b: float, c: float) -> None:
    values = falling(a, b, c)
    found = decay(MONTHS, values, values[None, :])
    assert found is not None
    assert found.a == pytest.approx(a, rel=0.02)
    assert found.b == pytest.approx(b, rel=0.02)
    assert found.c == pytest.approx(c, abs=0.02 * a)
    assert found.halving == pytest.approx(math.log(2) / b, rel=0.02)


def test_the_interval_holds_the_truth_of_noisy_dates() -> None:
    rng = np.random.default_rng(2)
    truth = falling(5.0, 0.3, 0.5)
    seen = truth * np.exp(0.03 * rng.normal(size=6))
    draws = seen * np.exp(0.03 * rng.normal(size=(2000, 6)))
    found = decay(MONTHS, seen, draws)
    assert found is not None
    low, high = found.halving_interval
    assert low < math.log(2) / 0.3 < high
    assert low < found.halving < high


def test_what_does_not_fall_has_no_decay() -> None:
    flat = np.full(6, 3.0)
    assert decay(MONTHS, flat, flat[None, :]) is None
    rising = falling(-2.0, 0.3, 5.0)
    assert decay(MONTHS, rising, rising[None, :]) is None


def test_a_slight_fall_leaves_the_halving_time_open() -> None:
    line = 100.0 - 0.001 * MONTHS
    found = decay(MONTHS, line, np.stack([line, line + 1]))
    assert found is not None
    assert found.halving_interval[1] == math.inf


def test_too_few_dates_and_infinite_values_are_refused() -> None:
    few = np.array([0.0, 1.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="at least 4 dates"):
        decay(few, np.ones(4), np.ones((1, 4)))
    endless = np.array([math.inf, 3, 2, 1, 1, 1])
    with pytest.raises(ValueError, match="infinite frontier"):
        decay(MONTHS, endless, endless[None, :])
    values = falling(5.0, 0.3, 0.5)
    found = decay(MONTHS, values, np.stack([values, endless]))
    assert found is not None
    assert found.interval[0] == pytest.approx(found.b)
