"""One difference by every method, and verdicts on numbers that others published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qbench.benchmarks.analysis.comparison.paired import difference, needed, verdict
from qbench.benchmarks.analysis.comparison.recovery import ratio_of_averages
from qbench.benchmarks.analysis.comparison.sidebyside import Method, methods
from qbench.benchmarks.analysis.comparison.unpaired import gap
from qbench.benchmarks.analysis.sums import Floats

SAMPLES = 1209
"""gsm8k_platinum, three seeds, Qwen3-30B-A3B in NVFP4 (llm-compressor 2922 and 3001)."""
PASSED = {
    "BF16": (1146, 1157, 1149),
    "GPTQ-AWQ": (1164, 1152, 1159),
    "GPTQ": (1154, 1153, 1147),
    "RTN": (1139, 1137, 1125),
    "SmoothQuant": (1048, 1064, 1073),
}


def by_name(found: list[Method]) -> dict[str, Method]:
    return {method.name: method for method in found}


def rates(passed: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Spread each seed's passes over the samples; which ones passed was not published."""
    seeds = [rng.permutation(np.arange(SAMPLES) < number) for number in passed]
    mean: Floats = np.array(seeds).sum(axis=0) / len(passed)
    return mean


@pytest.mark.parametrize(
    ("name", "recovery", "at_five", "at_one"),
    [
        ("GPTQ-AWQ", 1.0067, "equivalent", "inconclusive"),
        ("GPTQ", 1.0006, "equivalent", "equivalent"),
        ("RTN", 0.9852, "equivalent", "worse"),
        ("SmoothQuant", 0.9226, "worse", "worse"),
    ],
)
def test_verdicts_on_published_seeds(name: str, recovery: float, at_five: str, at_one: str) -> None:
    rng = np.random.default_rng(2)
    base, system = rates(PASSED["BF16"], rng), rates(PASSED[name], rng)
    assert ratio_of_averages(system, base) == pytest.approx(recovery, abs=6e-5)
    found = difference(system, base, np.arange(SAMPLES, dtype=np.int32), epochs=3)
    assert found is not None
    assert [verdict(found, found.p, margin) for margin in (0.05, 0.01)] == [at_five, at_one]


@pytest.mark.parametrize(
    ("name", "at_five", "at_one"),
    [
        ("GPTQ-AWQ", "equivalent", "inconclusive"),
        ("GPTQ", "equivalent", "inconclusive"),
        ("RTN", "equivalent", "inconclusive"),
        ("SmoothQuant", "worse", "worse"),
    ],
)
def test_and_if_the_seeds_were_all_the_same(name: str, at_five: str, at_one: str) -> None:
    """The other extreme: three seeds that tell no more than one, and no pairing."""
    system, base = (sum(PASSED[key]) / 3 / SAMPLES for key in (name, "BF16"))
    found = gap((system, SAMPLES), (base, SAMPLES))
    assert [verdict(found, found.p, margin) for margin in (0.05, 0.01)] == [at_five, at_one]


@pytest.mark.parametrize(
    ("one", "two", "n", "p"), [(131 / 164, 132 / 164, 164, 0.89), (0.481, 0.472, 12_032, 0.16)]
)
def test_published_differences_that_are_none(one: float, two: float, n: int, p: float) -> None:
    """HumanEval and MMLU-Pro of a 70B model, 16 bits against 4 (arXiv 2411.02355)."""
    assert gap((one, n), (two, n)).p == pytest.approx(p, abs=0.005)


def drawn(n: int = 240, families: int = 80) -> tuple[Floats, Floats, NDArray[np.int32]]:
    rng = np.random.default_rng(6)
    hard = rng.random(families)[np.arange(n) % families]
    first = (rng.random(n) < 0.5 * hard + 0.3).astype(np.float64)
    second = (rng.random(n) < 0.5 * hard + 0.35).astype(np.float64)
    return first, second, (np.arange(n) % families).astype(np.int32)


def test_all_methods_say_about_the_same_where_samples_are_many_and_alone() -> None:
    first, second, _ = drawn(2_000, 2_000)
    found = methods(first, second, np.arange(2_000, dtype=np.int32))
    ends = np.array([method.interval for method in found if method.interval])
    assert len(ends) == 5
    assert np.ptp(ends, axis=0).max() < 0.002
    ps = [method.p for method in found if method.p is not None]
    assert len(ps) == 6
    assert max(ps) - min(ps) < 0.02


def test_families_widen_those_that_know_them() -> None:
    """Every sample four times: what ignores families believes in four times the evidence."""
    first, second, _ = drawn(100, 100)
    family = np.tile(np.arange(100, dtype=np.int32), 4)
    found = methods(np.tile(first, 4), np.tile(second, 4), family)
    once = by_name(methods(first, second, np.arange(100, dtype=np.int32)))

    def width(method: Method) -> float:
        assert method.interval is not None
        return method.interval[1] - method.interval[0]

    for method in found:
        if method.interval:
            ratio = width(method) / width(once[method.name])
            assert ratio == pytest.approx(1.0 if method.families else 0.5, abs=0.03)


def test_the_verdicts_interval_stands_first() -> None:
    first, second, family = drawn()
    found = difference(first, second, family, epochs=1)
    assert found is not None
    listed = methods(first, second, family)
    assert listed[0].interval == found.interval
    assert by_name(listed)["sign flips of families"].p == found.p


def test_methods_that_cannot_say_anything_say_nothing() -> None:
    nothing = np.full(3, math.nan)
    assert methods(nothing, nothing, np.zeros(3, dtype=np.int32)) == []
    one_family = by_name(methods(np.ones(3), np.zeros(3), np.zeros(3, dtype=np.int32)))
    assert one_family["bootstrap of families"].interval is None
    assert one_family["t, CR2 over families"].interval is None
    same = by_name(methods(np.ones(9), np.ones(9), np.arange(9, dtype=np.int32)))
    assert same["t, CR2 over families"].p is None
    assert same["sign flips of families"].p == same["McNemar exact"].p == 1


def test_what_agrees_is_equivalent_only_if_a_hidden_margin_is_improbable() -> None:
    """0.95^58 is above 5 %, 0.95^59 below: 59 agreeing samples rule out five points."""
    for n, kind in ((58, "inconclusive"), (59, "equivalent")):
        found = difference(np.ones(n), np.ones(n), np.arange(n, dtype=np.int32), epochs=1)
        assert found is not None
        assert verdict(found, found.p, 0.05) == kind
        assert needed(found, 0.05) is None
