"""Statistics of samples: by hand, as known, and where the truth is built in."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbench.benchmarks.analysis.noise.graded import monotone, power, steadiness
from qbench.benchmarks.analysis.noise.items import (
    cronbach,
    feldt,
    item_rest,
    item_statistics,
    split_half,
)
from qbench.benchmarks.analysis.sums import Floats


def test_alpha_of_binary_items_is_kr_20() -> None:
    rows = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0.0]])
    p, k = rows.mean(axis=0), 4
    total = rows.sum(axis=1).var()
    kr20 = k / (k - 1) * (1 - (p * (1 - p)).sum() / total)
    assert cronbach(rows) == pytest.approx(kr20)
    assert cronbach(np.tile([0.0, 1.0, 2.0], (4, 1)).T) == pytest.approx(1.0)
    assert math.isnan(cronbach(np.ones((5, 4))))
    assert math.isnan(cronbach(rows[:1]))


def test_feldt_s_interval_holds_alpha_of_a_known_truth() -> None:
    """Parallel items of reliability rho = k / (k + 1) at unit variances: 95 % hold it."""
    rng = np.random.default_rng(8)
    people, items, held = 30, 8, 0
    for _ in range(200):
        rows = rng.normal(size=(people, 1)) + rng.normal(size=(people, items))
        low, high = feldt(cronbach(rows), people, items)
        held += low <= items / (items + 1) <= high
    assert 180 <= held <= 199


def test_item_rest_is_the_correlation_with_the_others() -> None:
    rng = np.random.default_rng(9)
    rows = (rng.random((12, 5)) < 0.5).astype(np.float64)
    found = item_rest(rows)
    for at in range(5):
        rest = np.delete(rows, at, axis=1).sum(axis=1)
        assert found[at] == pytest.approx(np.corrcoef(rows[:, at], rest)[0, 1])
    assert np.isnan(item_rest(np.ones((4, 3)))).all()


def simulated(systems: int, repeats: int) -> Floats:
    """Samples 0 to 29 discriminate, 30 is turned round, 31 always passes, 32 never does."""
    rng = np.random.default_rng(10)
    skill = np.linspace(-2, 2, systems)[:, None, None]
    hard = rng.normal(0, 1, 30)
    p = 1 / (1 + np.exp(-2 * (skill - hard)))
    turned = 1 / (1 + np.exp(4 * skill))
    rest = np.concatenate([np.ones_like(turned), np.zeros_like(turned)], axis=2)
    everything = np.concatenate([p, turned, rest], axis=2)
    return (rng.random((systems, repeats, 33)) < everything).astype(np.float64)


def test_the_sample_that_is_turned_round_is_found() -> None:
    found = item_statistics(simulated(12, 3))
    assert np.flatnonzero(found.p < 0.05).tolist() == [30]
    assert found.discrimination[30] < -0.3
    assert np.isnan(found.discrimination[31:]).all()
    assert found.difficulty[31:].tolist() == [1.0, 0.0]
    assert found.flips[31:].tolist() == [0.0, 0.0]
    assert found.flips[:31].mean() > 0.1
    assert found.alpha > 0.9
    assert found.alpha_interval[0] < found.alpha < found.alpha_interval[1]
    assert found.split_half > 0.5


def test_repeats_of_two_systems_are_no_further_systems() -> None:
    found = item_statistics(simulated(2, 5))
    assert np.isnan(found.p).all()  # two systems cannot say which sample is turned round
    one = item_statistics(simulated(1, 5))
    assert one.flips.shape == (33,)


def test_flips_of_systems_measured_once_are_unknown() -> None:
    values = simulated(4, 2)
    values[1:, 1] = np.nan
    found = item_statistics(values)
    assert set(found.flips.tolist()) <= {0.0, 1.0}  # of one system
    alone = item_statistics(simulated(4, 1))
    assert np.isnan(alone.flips).all()
    assert math.isnan(alone.split_half)


def test_order_does_not_matter() -> None:
    values = simulated(6, 2)
    one, two = item_statistics(values), item_statistics(values[::-1, ::-1, ::-1])
    assert two.difficulty[::-1] == pytest.approx(one.difficulty)
    assert two.discrimination[::-1] == pytest.approx(one.discrimination, nan_ok=True)
    assert two.alpha == pytest.approx(one.alpha)


def test_split_half_of_two_repeats_by_hand() -> None:
    values = np.array([[[1, 1, 0, 0, 1.0], [1, 0, 0, 0, 1.0]]])
    r = np.corrcoef(values[0, 0], values[0, 1])[0, 1]
    assert split_half(values) == pytest.approx(2 * r / (1 + r))


def test_a_score_in_between_needs_fewer_samples() -> None:
    """The same answers, judged by a threshold and as they are: the threshold costs samples."""
    rng = np.random.default_rng(11)
    base = rng.normal(0.5, 0.2, 2000)
    quality = np.stack([base + rng.normal(0, 0.1, 2000), base - 0.05 + rng.normal(0, 0.1, 2000)])
    alone = np.arange(2000, dtype=np.int32)
    whole = power(quality[1], quality[0], alone)
    passed = power((quality[1] > 0.5).astype(float), (quality[0] > 0.5).astype(float), alone)
    assert whole is not None
    assert passed is not None
    assert whole.needed is not None
    assert passed.needed is not None
    assert whole.snr > passed.snr
    assert 2 * whole.needed < passed.needed
    assert whole.snr == pytest.approx(0.05 / (0.1 * math.sqrt(2)), rel=0.15)
    assert whole.needed == pytest.approx((2.8016 / whole.snr) ** 2, abs=1)


def test_power_without_a_difference_or_a_sample() -> None:
    alone = np.arange(4, dtype=np.int32)
    same = power(np.ones(4), np.ones(4), alone)
    assert same is not None
    assert (same.needed, math.isnan(same.snr)) == (None, True)
    assert same.interval[0] < 0 < same.interval[1]
    assert power(np.full(4, np.nan), np.ones(4), alone) is None


def test_levels_that_get_harder_are_monotone() -> None:
    level = np.repeat(np.arange(1, 6), 40).astype(np.int32)
    family = np.arange(200, dtype=np.int32)
    rng = np.random.default_rng(12)
    scores = (rng.random(200) < 1.1 - level / 5).astype(np.float64)
    found = monotone(scores, level, family)
    assert found is not None
    tau, (low, high) = found
    assert tau == pytest.approx(-1.0, abs=0.21)
    assert low <= tau <= high
    assert high < 0
    assert monotone(np.ones(200), level, family) is None
    assert monotone(scores[:80], level[:80], family[:80]) is None  # two levels


def test_steadiness_is_mean_over_deviation() -> None:
    assert steadiness(np.array([0.4, 0.5, 0.6])) == pytest.approx(5.0)
    assert steadiness(np.array([0.5, 0.5])) == math.inf
    assert steadiness(np.array([0.5])) is None
