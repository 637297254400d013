"""Sums over attempts, and when a row must not be ranked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbench.benchmarks.analysis.outcomes import ERRORED, SCORED, UNSCORED, Outcomes
from qbench.benchmarks.analysis.resampling import resampled, weights
from qbench.benchmarks.analysis.sums import by_family, dollars, sums
from qbench.benchmarks.analysis.validity import Counts, count, invalid


def outcomes() -> Outcomes:
    """Two systems, three samples in two families; b errored once and is unpriced once."""
    status = np.array([SCORED, SCORED, SCORED, SCORED, ERRORED, UNSCORED], dtype=np.int8)
    nothing = np.full(6, math.nan)
    return Outcomes(
        systems=("a", "b"),
        samples=("s0", "s1", "s2"),
        sample_family=np.array([0, 0, 1], dtype=np.int32),
        families=("f", "g"),
        sample_level=np.ones(3, dtype=np.int32),
        sample_task=np.zeros(3, dtype=np.int32),
        tasks=("t",),
        system=np.array([0, 0, 0, 1, 1, 1], dtype=np.int32),
        sample=np.array([0, 1, 2, 0, 1, 2], dtype=np.int32),
        epoch=np.zeros(6, dtype=np.int32),
        status=status,
        passed=np.array([True, False, True, True, False, False]),
        value=np.array([1.0, 0.0, 1.0, 1.0, math.nan, math.nan]),
        prompt_tokens=np.array([100.0, 200.0, 300.0, math.nan, math.nan, math.nan]),
        cached_tokens=np.array([50.0, 100.0, 0.0, math.nan, math.nan, math.nan]),
        completion_tokens=np.array([10.0, 20.0, 30.0, math.nan, math.nan, math.nan]),
        seconds=np.array([1.0, 2.0, 9.0, 4.0, 60.0, 5.0]),
        truncated=np.array([False, True, False, False, True, False]),
        parse_failures=np.array([0, 3, 0, 0, 1, 0], dtype=np.int32),
        retries=np.array([0, 1, 0, 0, 5, 0], dtype=np.int32),
        calls=np.ones(6, dtype=np.int32),
        cost={
            "api": np.where([False, False, False, True, True, True], nothing, nothing),
            "saturated": np.array([0.1, 0.2, 0.3, math.nan, 0.5, 0.5]),
        },
    )


def test_errors_and_unscored_attempts_are_no_wrong_answers() -> None:
    made = sums(outcomes(), "saturated")
    assert made.rates[0].tolist() == [1.0, 0.0, 1.0]
    assert made.rates[1][0] == 1.0
    assert np.isnan(made.rates[1][1:]).all()
    assert made.costs[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert np.isnan(made.costs[1]).all()
    assert by_family(made, made.rates).tolist() == [[1.0, 1.0], [1.0, 0.0]]


def test_api_money_goes_before_the_basis_and_unknown_stays_unknown() -> None:
    some = outcomes()
    some.cost["api"][0] = 7.0
    assert dollars(some, "saturated")[:3].tolist() == [7.0, 0.2, 0.3]
    assert np.isnan(dollars(some, "saturated")[3])
    assert np.isnan(dollars(some, "rental")[1:]).all()


def test_counts() -> None:
    a, b = count(outcomes(), "saturated")
    assert (a.attempts, a.scored, a.errored, a.unscored) == (3, 3, 0, 0)
    assert (a.truncated, a.parse_failures, a.retries, a.unpriced) == (1, 1, 1, 0)
    assert (a.cached_share, a.prompt_tokens, a.completion_tokens) == (0.25, 200.0, 20.0)
    assert a.seconds == 2.0
    assert (b.attempts, b.scored, b.errored, b.unscored, b.unpriced) == (3, 1, 1, 1, 1)
    assert (b.cached_share, b.prompt_tokens, b.completion_tokens) == (None, None, None)


def counts(attempts: int, *, missing: int = 0, unread: int = 0) -> Counts:
    return Counts(
        attempts=attempts,
        scored=attempts - missing,
        errored=missing // 2,
        unscored=missing - missing // 2,
        truncated=0,
        parse_failures=unread,
        unpriced=0,
        retries=0,
        cached_share=None,
        prompt_tokens=None,
        completion_tokens=None,
        seconds=None,
    )


@pytest.mark.parametrize(
    ("some", "reason"),
    [
        (counts(100), ""),
        (counts(100, missing=5), ""),
        (counts(100, missing=6), "6 of 100 attempts are missing"),
        (counts(19, missing=1), "1 of 19 attempts are missing"),
        (counts(20, missing=1), ""),
        (counts(100, unread=50), ""),
        (counts(100, unread=51), "tool calls of 51 attempts could not be read"),
        (counts(100, missing=4, unread=49), "call parser"),
        (counts(10, missing=10), "nothing was scored"),
        (counts(0), "nothing was scored"),
    ],
)
def test_when_a_row_is_invalid(some: Counts, reason: str) -> None:
    said = invalid(some)
    assert bool(said) == bool(reason)
    assert reason in said


def test_whole_families_are_drawn() -> None:
    blocks = list(weights(7, resamples=1200, seed=1))
    assert [len(block) for block in blocks] == [500, 500, 200]
    assert all((block.sum(axis=1) == 7).all() for block in blocks)


def test_resampling_is_seeded_and_keeps_the_unpriced_unpriced() -> None:
    made = sums(outcomes(), "saturated")
    rates, costs = resampled(made, resamples=300, seed=5)
    again, _ = resampled(made, resamples=300, seed=5)
    assert np.array_equal(rates, again, equal_nan=True)
    assert np.isnan(costs[:, 1]).all()
    assert set(np.round(rates[:, 0], 3)) == {0.5, 0.667, 1.0}
    assert set(np.round(costs[:, 0], 3)) == {0.15, 0.2, 0.3}
