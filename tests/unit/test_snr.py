"""Signal, noise and their ratio: as worked out, and where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.benchmarks.analysis.noise.flips import divergence, length_spread, std_at_accuracy
from qbench.benchmarks.analysis.noise.snr import chance, decision_accuracy, noise, ratio, signal
from qbench.benchmarks.analysis.sums import Floats
from tests.worked import WORKED

SIGNAL = WORKED["signal_noise"]
FP32 = WORKED["fp32_metrics"]


def test_signal_and_noise_as_worked_out() -> None:
    heard, hiss = signal(SIGNAL["population"]), noise(SIGNAL["checkpoints"])
    assert heard == pytest.approx(SIGNAL["signal"])
    assert hiss == pytest.approx(SIGNAL["noise"])
    assert heard / hiss == pytest.approx(SIGNAL["snr"])
    pairs = SIGNAL["decision_accuracy"]
    assert decision_accuracy(pairs["small"], pairs["large"]) == pairs["value"]


def test_metrics_of_fp32_as_worked_out() -> None:
    assert std_at_accuracy([0.4333, 0.4667, 0.4, 0.4333]) == pytest.approx(
        FP32["std_acc_sample"], abs=5e-5
    )
    one, two = FP32["div_index"]["a"], FP32["div_index"]["b"]
    assert divergence(one, two) == FP32["div_index"]["value_0based"]
    lengths = np.array([[100.0, 50.0], [110, 50], [120, 50], [130, 50]])
    assert length_spread(lengths) == pytest.approx(FP32["avg_std_len"])


def test_orders_and_ties() -> None:
    assert decision_accuracy([1, 2, 3], [3, 2, 1]) == 0
    assert decision_accuracy([1, 1], [1, 2]) == 0.5
    assert math.isnan(decision_accuracy([1], [2]))


def test_chance_is_the_range_of_normal_draws() -> None:
    # tables of d2: 1.128, 1.693, 2.326 of 2, 3, 5
    for systems, d2 in ((2, 1.128), (3, 1.693), (5, 2.326)):
        assert chance(systems, 2) == pytest.approx(d2, abs=5e-4)
        assert chance(systems, 5) == pytest.approx(d2 / 2, abs=5e-4)
    assert math.isnan(chance(1, 5))
    assert math.isnan(chance(3, 1))


def drawn(rng: np.random.Generator, p: Floats, repeats: int) -> Floats:
    """(Y, T, S) of (Y, S) probabilities."""
    return (rng.random((len(p), repeats, p.shape[1])) < p[:, None, :]).astype(np.float64)


def test_where_nothing_differs_the_ratio_is_that_of_chance() -> None:
    rng = np.random.default_rng(1)
    p = np.tile(rng.beta(2, 2, 200), (3, 1))
    alone = np.arange(200, dtype=np.int32)
    found = [ratio(drawn(rng, p, 5), alone, resamples=10) for _ in range(150)]
    assert np.mean([one.snr for one in found]) == pytest.approx(chance(3, 5), rel=0.15)
    assert found[0].chance == chance(3, 5)


def test_the_interval_holds_the_truth_where_systems_differ() -> None:
    """Signal and noise of known size: 95 % of the intervals hold their ratio."""
    rng = np.random.default_rng(3)
    n, repeats, trials, held = 120, 4, 120, 0
    many = rng.beta(2, 2, 50_000)

    def shifted(base: Floats) -> Floats:
        return np.clip(base - np.linspace(0, 0.3, 3)[:, None] * 4 * base * (1 - base), 0, 1)

    whole = shifted(many)
    apart = np.ptp(whole.mean(axis=1))
    truth = apart / math.sqrt((whole * (1 - whole)).mean() / n * (repeats - 1) / repeats)
    for _ in range(trials):
        values = drawn(rng, shifted(rng.beta(2, 2, n)), repeats)
        low, high = ratio(values, np.arange(n, dtype=np.int32), resamples=300).interval
        held += low <= truth <= high
    assert held >= 104  # P(fewer of 120 at 95 %) < 0.1 %


def test_a_system_may_be_measured_less_often() -> None:
    rng = np.random.default_rng(4)
    values = drawn(rng, np.array([[0.8] * 60, [0.4] * 60]), 4)
    values[1, 2:] = np.nan
    found = ratio(values, np.arange(60, dtype=np.int32))
    means = [values[0].mean(), values[1, :2].mean()]
    assert found.signal == pytest.approx(signal(means))
    low, high = found.interval
    assert low < found.snr < high
    assert found.agreement == 1


def test_without_a_repeat_there_is_no_noise_to_tell() -> None:
    found = ratio(np.ones((2, 1, 5)), np.arange(5, dtype=np.int32))
    assert math.isnan(found.noise)
    assert math.isnan(found.snr)
    assert math.isnan(found.agreement)


def test_what_repeats_itself_is_not_infinitely_clear_below() -> None:
    values = np.stack([np.ones((3, 20)), np.tile(np.arange(20) < 10, (3, 1)).astype(np.float64)])
    found = ratio(values, np.arange(20, dtype=np.int32))
    low, high = found.interval
    assert found.snr == high == math.inf
    assert 0 < low < math.inf
    nothing = ratio(np.zeros((2, 3, 20)), np.arange(20, dtype=np.int32))
    assert math.isnan(nothing.snr)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_the_ratio_knows_neither_unit_nor_order(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values = drawn(rng, rng.random((3, 12)), 3)
    alone = np.arange(12, dtype=np.int32)
    one = ratio(values, alone, resamples=20)
    two = ratio(scale * values, alone, resamples=20)
    turned = ratio(values[::-1, :, ::-1], alone, resamples=20)
    for other in (two, turned):
        assert other.signal == pytest.approx(one.signal, nan_ok=True)
        assert other.noise == pytest.approx(one.noise, nan_ok=True)
        assert other.snr == pytest.approx(one.snr, nan_ok=True)
        assert other.agreement == pytest.approx(one.agreement, nan_ok=True)
    assert two.interval == pytest.approx(one.interval, nan_ok=True)
