"""Power: closed forms, and simulated runs that come out as often as was said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qbench.benchmarks.analysis import design
from qbench.benchmarks.analysis.clusters import Mean


def test_detectable_by_hand() -> None:
    """1.96 + 0.8416 = 2.8016 standard errors."""
    assert design.detectable(1000, 0.3) == pytest.approx(2.8015852 * math.sqrt(0.3 / 1000))
    assert design.for_difference(0.01, 0.3) == pytest.approx(2.8015852**2 * 0.3 / 1e-4)
    assert design.for_difference(0.0, 0.3) == math.inf


def test_samples_and_detectable_difference_are_one_another_turned_around() -> None:
    for n in (50.0, 400.0, 12_032.0):
        gap = design.detectable(n, 0.22, alpha=0.01, power=0.9)
        assert design.for_difference(gap, 0.22, alpha=0.01, power=0.9) == pytest.approx(n)


def test_an_exact_test_needs_one_discordant_pair_more() -> None:
    n = design.for_difference(0.1, 0.25, exact=True)
    assert n == pytest.approx(215.76, abs=0.01)
    assert design.for_difference(-0.1, 0.25, exact=True) == n
    assert design.detectable(n, 0.25, exact=True) == pytest.approx(0.1)


def test_equivalence_at_no_difference_needs_the_power_twice() -> None:
    """Both tests must reject: each may fail in 10 % of the runs, not 20 %."""
    sure = float(stats.norm.ppf(0.95) + stats.norm.ppf(0.9))
    assert design.for_equivalence(0.05, 0.25) == pytest.approx((sure / 0.05) ** 2 * 0.25)


def test_equivalence_close_to_the_margin_needs_ever_more() -> None:
    wanted = [design.for_equivalence(0.05, 0.25, gap=gap) for gap in (0.0, 0.02, 0.04, 0.049)]
    assert wanted == sorted(wanted)
    assert design.for_equivalence(0.05, 0.25, gap=0.05) == math.inf
    assert design.for_equivalence(0.05, 0.25, gap=-0.02) == pytest.approx(wanted[1])
    one_sided = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2 * 0.25 / 0.01**2
    assert wanted[2] == pytest.approx(one_sided, rel=1e-3)


def test_non_inferiority_is_one_sided() -> None:
    sure = float(stats.norm.ppf(0.95) + stats.norm.ppf(0.8))
    assert design.for_non_inferiority(0.05, 0.25) == pytest.approx((sure / 0.05) ** 2 * 0.25)
    assert design.for_non_inferiority(0.05, 0.25, gap=0.05) < 0.3 * design.for_equivalence(
        0.05, 0.25
    )
    assert design.for_non_inferiority(0.05, 0.25, gap=-0.05) == math.inf


def test_epochs_shrink_only_what_is_within() -> None:
    spread = design.Spread(between=0.1, within=0.2)
    assert [spread.variance(k) for k in (1, 2, 4)] == pytest.approx([0.3, 0.2, 0.15])


@pytest.mark.parametrize(("epochs", "families"), [(4, 1), (4, 5), (2, 1)])
def test_a_measured_spread_predicts_other_numbers_of_epochs(epochs: int, families: int) -> None:
    """8,000 samples; the truth is the variance of beta-distributed rates and their coins."""
    rng = np.random.default_rng(7)
    n = 8_000
    rates = rng.beta(2, 2, (2, n))
    rates[1] = 0.7 * rates[0] + 0.3 * rates[1]
    tries = np.full(n, float(epochs))
    passed = rng.binomial(epochs, rates) / epochs
    family = (np.arange(n) // families).astype(np.int32)
    found = design.measured((passed[0], tries), (passed[1], tries), family)
    assert found is not None
    between = float(np.var(rates[0] - rates[1]))
    within = float((rates * (1 - rates)).mean(axis=1).sum())
    assert found.within == pytest.approx(within, rel=0.03)
    assert found.between == pytest.approx(between, abs=0.02)
    assert found.variance(50) == pytest.approx(between + within / 50, abs=0.02)


def test_one_attempt_cannot_tell_within_from_between() -> None:
    rng = np.random.default_rng(8)
    passed, ones = (rng.random((2, 400)) < 0.5).astype(np.float64), np.ones(400)
    found = design.measured((passed[0], ones), (passed[1], ones), np.arange(400, dtype=np.int32))
    assert found is not None
    assert found.within == 0
    assert found.between == pytest.approx(float(np.var(passed[0] - passed[1], ddof=1)))
    assert found.effect == pytest.approx(1)


def test_families_that_move_together_have_a_design_effect() -> None:
    gap = np.repeat(np.random.default_rng(9).choice([-1.0, 0.0, 1.0], 300), 4)
    ones, family = np.ones(1200), np.repeat(np.arange(300, dtype=np.int32), 4)
    found = design.measured((np.maximum(gap, 0), ones), (np.maximum(-gap, 0), ones), family)
    assert found is not None
    assert found.effect == pytest.approx(4, rel=0.02)


def test_systems_that_never_differ_have_no_measured_spread() -> None:
    same, ones = np.ones(20), np.ones(20)
    assert design.measured((same, ones), (same, ones), np.arange(20, dtype=np.int32)) is None


def test_the_needed_number_lies_in_its_own_interval() -> None:
    mean = Mean(value=-0.03, error=0.02, n=400, clusters=400)
    wanted, interval = design.to_settle(mean, 0.05), design.settling_interval(mean, 0.05)
    assert wanted is not None
    assert interval is not None
    assert interval[0] < wanted < interval[1]
    assert interval[1] / interval[0] > 3
    assert design.settling_interval(Mean(value=0.0, error=0.0, n=5, clusters=5), 0.05) is None


@pytest.mark.parametrize("gap", [0.0, 0.02])
def test_power_of_equivalence_is_what_was_planned(gap: float) -> None:
    rng = np.random.default_rng(10)
    n = math.ceil(design.for_equivalence(0.05, 0.2, gap=gap))
    error = math.sqrt(0.2 / n)
    seen = rng.normal(gap, error, 20_000)
    within = np.abs(seen) + design.quantile(0.05) * error < 0.05
    assert within.mean() == pytest.approx(0.8, abs=0.01)
