"""Recovery as published, and its laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qbench.benchmarks.analysis.comparison.paired import difference, verdict
from qbench.benchmarks.analysis.comparison.recovery import (
    Pair,
    Ratio,
    change,
    ratio_of_averages,
    ratios,
)
from qbench.benchmarks.analysis.sums import Floats

NAN = math.nan


def alone(values: Floats) -> NDArray[np.int32]:
    return np.arange(len(values), dtype=np.int32)


def recovery(system: Any, baseline: Any, family: Any = None, **options: Any) -> Ratio | None:
    one, two = (np.array(part, dtype=np.float64) for part in (system, baseline))
    group = alone(one) if family is None else np.array(family, dtype=np.int32)
    (found,) = ratios([Pair(system=one, baseline=two)], group, len(group), seed=1, **options)
    return found


@pytest.mark.parametrize(
    ("baseline", "system", "kept"),
    [
        (73.56, 72.82, 98.99),  # DeepSeek-R1-Distill-Qwen-14B, w4a16, reasoning
        (62.90, 62.67, 99.63),  # DeepSeek-R1-Distill-Llama-8B, w8a8
        (76.30, 75.55, 99.02),  # DeepSeek-R1-Distill-Qwen-32B, FP8
        (76.23, 76.49, 100.34),  # DeepSeek-R1-Distill-Llama-70B, FP8
    ],
)
def test_recoveries_on_model_cards(baseline: float, system: float, kept: float) -> None:
    found = ratio_of_averages(np.array([system]), np.array([baseline]))
    assert found is not None
    assert round(100 * found, 2) == kept


BF16 = (0.9479, 0.9570, 0.9504)
"""Qwen3-30B-A3B on gsm8k_platinum, 1,209 samples, three seeds (llm-compressor #2922)."""
NVFP4 = {
    "gptq-awq": ((0.9628, 0.9529, 0.9586), 1.0067, {"equivalent", "inconclusive"}),
    "gptq": ((0.9545, 0.9537, 0.9487), 1.0006, {"equivalent", "inconclusive"}),
    "rtn": ((0.9421, 0.9404, 0.9305), 0.9852, {"equivalent", "inconclusive", "worse"}),
    "smoothquant": ((0.8668, 0.8801, 0.8875), 0.9226, {"worse"}),
}


def passes(rates: tuple[float, ...], hard: Floats, seed: int) -> Floats:
    """Pass rates per sample over the seeds: so many pass as published, mostly the easy ones."""
    rng = np.random.default_rng(seed)
    passed = np.zeros_like(hard)
    for rate in rates:
        order = np.argsort(hard + rng.normal(0, 1, len(hard)))
        passed[order[: round(rate * len(hard))]] += 1
    return passed / len(rates)


@pytest.mark.parametrize("recipe", NVFP4)
def test_published_nvfp4_recipes_are_judged_as_they_should_be(recipe: str) -> None:
    rates, kept, kinds = NVFP4[recipe]
    hard = np.random.default_rng(0).normal(0, 1, 1209)
    system, baseline = passes(rates, hard, 1), passes(BF16, hard, 2)
    found = recovery(system, baseline)
    assert found is not None
    assert found.value == pytest.approx(kept, abs=1.5e-4)
    assert found.low < found.value < found.high
    gap = difference(system, baseline, alone(system), epochs=3)
    assert gap is not None
    assert verdict(gap, gap.p, 0.05) in kinds
    if kinds == {"worse"}:
        assert found.high < 1


def test_the_ratio_of_averages_is_not_the_average_of_ratios() -> None:
    system, baseline = np.array([0.05, 0.80]), np.array([0.10, 0.80])
    assert ratio_of_averages(system, baseline) == pytest.approx(0.85 / 0.90)
    assert (system / baseline).mean() == 0.75


def test_nothing_is_recovered_from_a_baseline_that_passes_nothing() -> None:
    assert recovery([1, 0, 1], [0, 0, 0]) is None
    assert recovery([NAN, NAN], [1, 1]) is None
    assert recovery([1, NAN], [NAN, 1]) is None
    assert ratio_of_averages(np.array([math.inf]), np.array([1.0])) is None


def test_a_baseline_that_passes_once_bounds_nothing_from_above() -> None:
    """Without its one pass a resample divides by zero: the interval has no upper end."""
    found = recovery([1] * 10, [1] + [0] * 9)
    assert found is not None
    assert found.value == 10
    assert math.isinf(found.high)


def test_only_samples_that_both_know_count() -> None:
    found = recovery([1, 0, NAN, 1] * 4, [1, 1, 1, NAN] * 4)
    assert found is not None
    assert found.value == 0.5


def test_few_families_make_a_wide_interval() -> None:
    rng = np.random.default_rng(3)
    system, baseline = (rng.random((2, 60)) < 0.6).astype(np.float64)
    many, few = (recovery(system, baseline, alone(system) % n) for n in (60, 3))
    assert many is not None
    assert few is not None
    assert few.high - few.low > many.high - many.low
    assert recovery(system, baseline, [0] * 60) == Ratio(value=few.value, low=0.0, high=math.inf)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """0.6 against 0.92, correlated, with families of four samples."""
    rng = np.random.default_rng(7)
    family = np.arange(60, dtype=np.int32).repeat(4)
    covered, trials = 0, 200
    for _ in range(trials):
        luck = rng.random(240)
        found = recovery(
            luck < 0.6, rng.random(240) * 0.5 + luck * 0.5 < 0.8, family, resamples=400
        )
        truth = 0.6 / (1 - 2 * 0.2**2)  # half the sum of two uniforms is rarely above 0.8
        assert found is not None
        covered += found.low <= truth <= found.high
    assert covered >= 0.90 * trials


SHARES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=24,
)


@settings(max_examples=60, deadline=None)
@given(SHARES, st.floats(0.01, 100))
def test_recovery_knows_no_unit(pairs: list[tuple[float, float]], unit: float) -> None:
    system, baseline = np.array(pairs).T
    plain, scaled = (
        ratio_of_averages(system, baseline),
        ratio_of_averages(system * unit, baseline * unit),
    )
    assert (plain is None) == (scaled is None)
    if plain is not None:
        assert scaled == pytest.approx(plain)


@settings(max_examples=60, deadline=None)
@given(SHARES, st.randoms(use_true_random=False))
def test_recovery_knows_no_order(pairs: list[tuple[float, float]], chance: Any) -> None:
    system, baseline = np.array(pairs).T
    order = list(range(len(pairs)))
    chance.shuffle(order)
    one = ratio_of_averages(system, baseline)
    assert one == pytest.approx(ratio_of_averages(system[order], baseline[order]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40))
def test_equal_systems_keep_everything_and_are_no_finding(passed: list[float]) -> None:
    values = np.array(passed)
    found = recovery(values, values, resamples=50)
    if found is None:
        assert not any(passed)
    else:
        assert found.value == 1
        assert found.low < 1 < found.high  # so few samples can hide a difference
    gap = difference(values, values, alone(values), epochs=1)
    assert gap is not None
    assert verdict(gap, gap.p, 0.05) not in ("worse", "better")


def test_pairs_are_drawn_alike() -> None:
    """The same pair twice has the same interval, and another pair beside it changes nothing."""
    rng = np.random.default_rng(5)
    one, two, three = (rng.random((3, 40)) < 0.6).astype(np.float64)
    pair, other = Pair(system=one, baseline=two), Pair(system=three, baseline=two)
    family = alone(one)
    first, _, again = ratios([pair, other, pair], family, 40, seed=2)
    (single,) = ratios([pair], family, 40, seed=2)
    assert first == again == single


def test_changes_are_paired_and_never_surer_than_the_data() -> None:
    baseline = np.array([0, 0, 1, 1, NAN, 0, 0, 0, 0, 0.0])
    found = change(Pair(system=np.zeros(10), baseline=baseline), alone(baseline))
    assert found is not None
    assert (found.system, found.samples) == (0.0, 9)
    assert found.difference == pytest.approx(-2 / 9)
    assert found.low < found.difference < found.high
    same = change(Pair(system=np.zeros(9), baseline=np.zeros(9)), alone(np.zeros(9)))
    assert same is not None
    assert same.low < 0 < same.high
    lengths = Pair(system=np.full(9, 30.0), baseline=np.full(9, 20.0), shares=False)
    longer = change(lengths, alone(lengths.system))
    assert longer is not None
    assert (longer.low, longer.difference, longer.high) == (10.0, 10.0, 10.0)
    assert change(Pair(system=np.array([NAN]), baseline=np.array([1.0])), alone(np.ones(1))) is None
