"""Laws of the drift tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from qbench.benchmarks.analysis.comparison.multiplicity import discoveries
from qbench.benchmarks.analysis.comparison.paired import mcnemar
from qbench.benchmarks.analysis.runs import exchange
from qbench.benchmarks.analysis.runs.exchange import level_test, passes_test

bits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def ints(values: Sequence[Sequence[bool]]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def of_runs(passed: NDArray[np.int64], epochs: int = 1) -> float:
    """Test (R, S) passes out of ``epochs`` each, the newest run last."""
    tries = np.full(passed.shape[1], epochs * len(passed))
    return passes_test(passed[-1], np.full(passed.shape[1], epochs), passed.sum(axis=0), tries)


@given(bits)
def test_one_earlier_run_makes_it_mcnemars_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    passed = ints(pairs).T
    gained = int((passed[1] > passed[0]).sum())
    lost = int((passed[1] < passed[0]).sum())
    assert of_runs(passed) == pytest.approx(mcnemar(gained, lost), abs=1e-12)
    if gained + lost:
        exact = stats.binomtest(gained, gained + lost).pvalue
        assert of_runs(passed) == pytest.approx(exact, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 2), st.randoms(use_true_random=False))
def test_p_is_what_every_relabeling_says(
    earlier: int, samples: int, epochs: int, random: object
) -> None:
    rng = np.random.default_rng(hash(random) % 2**32)
    tries = rng.integers(0, 2, size=(earlier + 1, samples, epochs))
    seen = tries[-1].sum()
    per_sample = []
    for sample in range(samples):
        flat = tries[:, sample].ravel()
        picks = itertools.combinations(range(len(flat)), epochs)
        per_sample.append([flat[list(pick)].sum() for pick in picks])
    sums = np.array([sum(pick) for pick in itertools.product(*per_sample)])
    tail = min((sums <= seen).mean(), (sums >= seen).mean())
    assert of_runs(tries.sum(axis=2), epochs) == pytest.approx(min(1.0, 2 * tail), abs=1e-9)


@given(bits)
def test_runs_that_pass_and_fail_the_same_samples_show_nothing(
    pairs: list[tuple[bool, bool]],
) -> None:
    same = ints([[one for one, _ in pairs]] * 4)
    assert of_runs(same) == 1.0


def test_the_normal_form_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    for drop in (0.0, 0.03, 0.06):
        passed = (rng.random((5, 2000)) < 0.6).astype(np.int64)
        passed[-1] = rng.random(2000) < 0.6 - drop
        exact = of_runs(passed)
        with monkeypatch.context() as patched:
            patched.setattr(exchange, "EXACT", 10)
            assert of_runs(passed) == pytest.approx(exact, rel=0.05, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_drawn_relabelings_agree_with_all_of_them(earlier: int, samples: int, seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(size=(earlier + 1, samples))
    others = (values.sum(axis=0) - values) / earlier
    gaps = values - others
    every = np.array([sum(pick) for pick in itertools.product(*gaps.T)])
    seen = abs(gaps[-1].sum())
    exact = (np.abs(every) >= seen - 1e-9).mean()
    assert level_test(values, seed=3) == pytest.approx(exact, abs=0.03)


def test_unknown_values_are_left_out_and_never_chosen_as_the_newest() -> None:
    known = np.random.default_rng(1).lognormal(size=(3, 40))
    holed = np.concatenate([np.full((1, 40), np.nan), known])
    lost = np.concatenate([holed, np.full((4, 7), np.nan)], axis=1)
    assert level_test(lost) == pytest.approx(level_test(known), abs=0.02)
    assert level_test(np.full((3, 4), np.nan)) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_are_those_of_scipy(ps: list[float]) -> None:
    expected = stats.false_discovery_control(ps)
    assert discoveries(np.array(ps)) == pytest.approx(expected)
