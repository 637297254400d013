"""Confidence sequences: their numbers, their error over many looks, and what they decide."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from qbench.benchmarks.analysis.comparison.paired import difference, verdict
from qbench.benchmarks.analysis.sequential.confidence import (
    HIDDEN,
    LEAST,
    TOST_ALPHA,
    Look,
    Tracked,
    boundary,
    deciding,
    decision,
    expected,
    tracked,
    tuned,
)
from qbench.benchmarks.analysis.sums import Floats

RUNS = 300
STEP = 50


def alone(n: int) -> NDArray[np.int32]:
    return np.arange(n, dtype=np.int32)


def by_step(n: int) -> NDArray[np.int64]:
    return np.arange(n, dtype=np.int64) // STEP


def followed(values: Floats, margin: float = 0.05) -> Tracked:
    n = len(values)
    found = tracked(values, alone(n), by_step(n), rho=tuned(margin, n))
    assert found is not None
    return found


def fixed_test(look: Look) -> bool:
    """The t test of a fixed number of samples, which is right if it is done once."""
    error = math.sqrt(look.error**2 - HIDDEN / look.clusters**2)
    return abs(look.value) > float(special.stdtrit(look.clusters - 1, 0.975)) * error


def test_the_boundary_is_that_of_the_asymptotic_confidence_sequence() -> None:
    """Theorem 2.2 of arXiv 2103.06476 with variance 1: I = t, rho = 1 / their rho squared."""
    t, theirs, alpha = 500.0, 0.12, 0.05
    inner = (t * theirs**2 + 1) / (t**2 * theirs**2)
    half = math.sqrt(2 * inner * math.log(math.sqrt(t * theirs**2 + 1) / alpha))
    assert boundary(t, 1 / theirs**2, alpha) / math.sqrt(t) == pytest.approx(half, rel=1e-12)
    assert boundary(0.0, 10.0, alpha) == math.inf


def test_rho_makes_the_sequence_tightest_where_it_is_needed() -> None:
    rho = tuned(0.05, 10**9)
    at = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1) + 1) / 0.05**2
    assert boundary(at, rho, 0.05) / math.sqrt(at) == pytest.approx(0.05, rel=0.05)
    for other in (rho / 2, rho * 2):
        assert boundary(at, rho, 0.05) < boundary(at, other, 0.05)
    assert tuned(0.05, 100) < rho


def test_an_interval_and_its_p_value_say_the_same() -> None:
    rng = np.random.default_rng(5)
    found = followed(rng.choice([-1.0, 0.0, 1.0], size=400, p=[0.3, 0.6, 0.1]))
    p = found.p()
    assert 0 < p < 0.05
    low, high = found.interval(p * 1.001)
    assert not low < 0 < high
    low, high = found.interval(p * 0.999)
    assert low < 0 < high


def test_nothing_is_decided_on_nothing() -> None:
    assert tracked(np.full(9, np.nan), alone(9), by_step(9), rho=100.0) is None
    few = np.ones(LEAST - 1)
    found = tracked(few, alone(len(few)), by_step(len(few)), rho=100.0)
    assert found is not None
    assert found.interval() == (-math.inf, math.inf)
    assert (found.p(), decision(found, found.p(), 0.05)) == (1.0, "inconclusive")
    one_family = tracked(np.ones(500), np.zeros(500, np.int32), by_step(500), rho=100.0)
    assert one_family is not None
    assert decision(one_family, one_family.p(), 0.05) == "inconclusive"
    assert deciding(one_family, 0.05) == math.inf


def test_samples_that_all_agree_can_hide_a_difference() -> None:
    found = followed(np.zeros(50))
    low, high = found.interval(TOST_ALPHA)
    assert low < -0.05 < 0.05 < high
    assert found.last.error == pytest.approx(math.sqrt(HIDDEN) / 50)
    assert decision(followed(np.zeros(200)), 1.0, 0.05) == "equivalent"


def test_a_large_difference_is_decided_at_the_first_look() -> None:
    rng = np.random.default_rng(2)
    worse = followed(-(rng.random(50) < 0.7).astype(float))
    assert decision(worse, worse.p(), 0.05) == "worse"
    better = followed((rng.random(50) < 0.7).astype(float))
    assert decision(better, better.p(), 0.05) == "better"
    assert decision(worse, 0.06, 0.05) == "inconclusive"


def test_families_are_the_unit() -> None:
    """Ten copies of each of forty differences say what the forty do, not ten times as much."""
    rng = np.random.default_rng(11)
    values = rng.choice([-1.0, 0.0, 1.0], size=40, p=[0.5, 0.3, 0.2])
    rounds = np.zeros(400, dtype=np.int64)
    once = tracked(values, alone(40), rounds[:40], rho=50.0)
    tenfold = tracked(np.repeat(values, 10), np.repeat(alone(40), 10), rounds, rho=50.0)
    assert once is not None
    assert tenfold is not None
    assert tenfold.interval() == pytest.approx(once.interval())


@pytest.mark.parametrize("discordant", [0.04, 0.3])
def test_looking_after_every_batch_keeps_the_error_and_naive_looking_does_not(
    discordant: float,
) -> None:
    rng = np.random.default_rng(17)
    odds = [discordant / 2, 1 - discordant, discordant / 2]
    false, naive = 0, 0
    for _ in range(RUNS):
        found = followed(rng.choice([-1.0, 0.0, 1.0], size=800, p=odds))
        false += found.p() < 0.05
        naive += any(fixed_test(look) for look in found.looks)
    assert false <= 0.05 * RUNS
    assert naive >= 0.10 * RUNS


def test_a_true_difference_at_the_margin_is_rarely_called_equivalent() -> None:
    rng = np.random.default_rng(23)
    called = 0
    for _ in range(RUNS):
        found = followed(-(rng.random(800) < 0.05).astype(float))
        called += decision(found, 1.0, 0.05) == "equivalent"
    assert called <= 0.05 * RUNS + 2 * math.sqrt(0.05 * 0.95 * RUNS)


def test_a_pass_rate_is_covered_at_every_look() -> None:
    rng = np.random.default_rng(29)
    missed = 0
    for rate in (0.02, 0.5, 0.9):
        for _ in range(RUNS // 3):
            low, high = followed((rng.random(600) < rate).astype(float)).interval()
            missed += not low <= rate <= high
    assert missed <= 0.05 * RUNS


@pytest.mark.parametrize(("shift", "kind"), [(-0.15, "worse"), (0.15, "better"), (0, "equivalent")])
def test_a_long_run_ends_with_the_verdict_of_a_fixed_one(shift: float, kind: str) -> None:
    rng = np.random.default_rng(31)
    base = (rng.random(4000) < 0.6).astype(float)
    flipped = rng.random(4000) < abs(shift) + 0.05
    other = np.where(flipped, (rng.random(4000) < 0.6 + 3 * shift).astype(float), base)
    found = followed(other - base)
    fixed = difference(other, base, alone(4000), epochs=1)
    assert fixed is not None
    assert decision(found, found.p(), 0.05) == verdict(fixed, fixed.p, 0.05) == kind


def test_how_many_samples_decide() -> None:
    rng = np.random.default_rng(37)
    found = followed(rng.choice([-1.0, 0.0, 1.0], size=100, p=[0.2, 0.7, 0.1]))
    wanted = deciding(found, 0.05)
    assert 100 < wanted < 4000
    assert deciding(found, 0.05, comparisons=5) > wanted
    look = Look(value=0.05, error=0.001, n=1000, clusters=1000, freedom=999)
    assert deciding(Tracked(looks=(look,), rho=100.0), 0.05) == 1000
    still = Look(value=0.0, error=0.02, n=1000, clusters=1000, freedom=999)
    there = deciding(Tracked(looks=(still,), rho=400.0), 0.05)
    information = there * still.information / 1000
    assert boundary(information, 400.0, TOST_ALPHA) / math.sqrt(information) == pytest.approx(0.05)


def test_what_is_decided_after_how_many_samples_is_known_before() -> None:
    rng = np.random.default_rng(41)
    same = expected(0.0, 0.05, 3000, 0.1)
    differs = expected(0.1, 0.05, 3000, 0.1)
    assert differs < same < expected(0.03, 0.05, 3000, 0.1)
    assert expected(0.1, 0.05, 3000, 0.1, comparisons=4) > differs
    decided = []
    for _ in range(40):
        values = rng.choice([-1.0, 0.0, 1.0], size=3000, p=[0.05, 0.9, 0.05])
        found = followed(values)
        sizes = [
            look.n
            for seen, look in enumerate(found.looks, 1)
            if decision(Tracked(looks=found.looks[:seen], rho=found.rho), 1.0, 0.05) == "equivalent"
        ]
        decided.append(min(sizes, default=3000))
    assert np.median(decided) == pytest.approx(same, rel=0.25)
