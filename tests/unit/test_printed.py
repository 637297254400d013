"""Rounded numbers: intervals that hold the truth, and tests that know nothing of pairing."""

from __future__ import annotations

import math
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.benchmarks.analysis.clusters import clustered_mean
from qbench.benchmarks.analysis.comparison.paired import verdict
from qbench.benchmarks.analysis.comparison.unpaired import gap, newcombe, two_proportions
from qbench.benchmarks.analysis.printed import (
    Printed,
    agree,
    effective,
    error_of_tasks,
    falls,
    possible,
    printed,
    queries_per_dollar,
    standard_error,
)
from tests.worked import WORKED


def exact(value: float) -> Printed:
    return Printed(value=value, low=value, high=value)


def test_a_printed_number_stands_for_what_rounds_to_it() -> None:
    found = printed("53.33")
    assert (found.low, found.value, found.high) == (53.325, 53.33, 53.335)
    assert printed("1511").high == 1511.5
    assert printed("0").low == 0  # nothing is below nothing
    for text in ("", "many", "inf", "nan"):
        with pytest.raises(ValueError, match="no number"):
            printed(text)


def test_cost_of_pass_within_rounding() -> None:
    # Efficient Agents: $.419 at 56.36 % is .74; $.705 at 53.33 % is not .98
    assert agree(printed("0.74"), printed("0.419").over(printed("56.36").times(0.01)))
    assert not agree(printed("0.98"), printed("0.705").over(printed("53.33").times(0.01)))
    assert printed("1").over(printed("0")).value == math.inf


def test_queries_per_dollar_as_worked_out() -> None:
    worked = WORKED["queries_per_dollar"]["single_stream"]
    found = queries_per_dollar(exact(worked["latency_s"]), worked["usd_per_gpu_h"])
    assert found.value == pytest.approx(worked["qpd"])


def test_standard_errors_as_worked_out() -> None:
    expected = WORKED["signal_noise"]["binomial_se_p0.7_n500"]
    assert standard_error(exact(0.7), 500).value == pytest.approx(expected)
    # gsm8k, n = 1319: .8893 has a standard error of .0086
    assert agree(printed("0.0086"), standard_error(printed("0.8893"), 1319))
    assert not agree(printed("0.0076"), standard_error(printed("0.8893"), 1319))


def test_a_share_of_attempts_is_a_whole_number() -> None:
    assert possible(printed("53.33").times(0.01), 165)
    assert not possible(printed("54.18").times(0.01), 165)
    assert possible(exact(1.0), 3)


def test_pass_k_falls_by_less_each_time() -> None:
    def shares(*texts: str) -> list[Printed]:
        return [printed(text).times(0.01) for text in texts]

    assert falls(shares("81.58", "69.59", "59.87", "51.75"))
    assert not falls(shares("60.0", "61.0"))
    assert not falls(shares("9.79", "7.22", "5.67", "3.09"))
    assert falls(shares("50.0"))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=40))
def test_true_pass_k_is_never_blamed_and_tells_the_error_between_tasks(passes: list[int]) -> None:
    """What four trials of each task give: the error from two averages is that of all attempts."""
    shares = [sum(comb(c, k) / comb(4, k) for c in passes) / len(passes) for k in range(1, 5)]
    rounded = [printed(f"{100 * share:.2f}").times(0.01) for share in shares]
    assert falls(rounded)
    assert possible(rounded[0], 4 * len(passes))
    rates = np.array(passes) / 4
    alone = np.arange(len(passes), dtype=np.int32)
    found = error_of_tasks(shares[0], shares[1], len(passes), 4)
    assert found == pytest.approx(clustered_mean(rates, alone).error, abs=1e-7)
    n = effective(shares[0], shares[1], len(passes), 4)
    assert len(passes) <= n <= 4 * len(passes)


def test_without_pass_2_only_the_tasks_count() -> None:
    assert effective(0.5, None, 114, 4) == 114
    assert effective(0.5, 0.5, 114, 4) == 114  # trials of a task always agree
    # and know nothing of each other; one of 114 is lost to the mean
    assert effective(0.5, 0.25, 114, 4) == pytest.approx(4 * 113)


def test_two_proportions_as_known() -> None:
    assert two_proportions((131 / 164, 164), (132 / 164, 164)) == pytest.approx(0.89, abs=0.005)
    assert two_proportions((0.481, 12032), (0.472, 12032)) == pytest.approx(0.16, abs=0.005)
    assert two_proportions((1.0, 5), (1.0, 9)) == 1.0
    # Newcombe 1998, table II: 56/70 - 48/80 by method 10
    low, high = newcombe((56 / 70, 70), (48 / 80, 80))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_an_unpaired_verdict() -> None:
    far = gap((0.9, 500), (0.5, 500))
    assert verdict(far, far.p, 0.05) == "better"
    near = gap((0.5, 50), (0.52, 50))
    assert verdict(near, near.p, 0.05) == "inconclusive"
    same = gap((0.8, 20_000), (0.8, 20_000))
    assert verdict(same, same.p, 0.05) == "equivalent"


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 500), st.integers(1, 500))
def test_gaps_are_antisymmetric_and_hold_their_value(p: float, q: float, n: int, m: int) -> None:
    one, two = gap((p, n), (q, m)), gap((q, m), (p, n))
    assert one.p == pytest.approx(two.p)
    assert one.interval == pytest.approx((-two.interval[1], -two.interval[0]))
    low, high = one.interval
    assert low <= one.value + 1e-12
    assert one.value <= high + 1e-12
    assert low >= -1 - 1e-9
    assert high <= 1 + 1e-9


def test_unpaired_false_alarms_keep_their_level() -> None:
    """Equal truth: 'better' or 'worse' in at most 5 % of tables, of every size."""
    rng = np.random.default_rng(5)
    trials = 400
    for n, p in ((40, 0.1), (164, 0.8), (1000, 0.5)):
        draws = rng.binomial(n, p, size=(trials, 2)) / n
        found = [gap((a, n), (b, n)) for a, b in draws]
        alarms = sum(verdict(one, one.p, 0.01) in ("better", "worse") for one in found)
        assert alarms <= 0.05 * trials + 3.72 * math.sqrt(0.05 * 0.95 * trials)


def test_the_pass_k_rule_is_that_of_exchangeable_trials() -> None:
    """A task's trials drawn without order: k passes then a failure, counted one by one."""
    trials = (1, 1, 0, 1)
    for k in (1, 2):
        drawn = list(combinations(range(4), k))
        share = sum(all(trials[i] for i in chosen) for chosen in drawn) / len(drawn)
        assert share == comb(3, k) / comb(4, k)
