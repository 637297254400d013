"""What holds for every confidence sequence and every choice of who is asked next."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.benchmarks.analysis.sequential.allocation import State, chosen, off_frontier
from qbench.benchmarks.analysis.sequential.confidence import Tracked, decision, tracked

VALUES = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=12, max_size=120)
PRICE = st.floats(0.001, 10)
STATES = st.lists(
    st.builds(
        State,
        key=st.uuids().map(str),
        done=st.integers(0, 300),
        wanted=st.floats(300, 5000) | st.just(math.inf),
        cost=PRICE,
    ),
    min_size=1,
    max_size=6,
)


def follow(values: list[float], size: int, shuffled: int | None = None) -> Tracked:
    rounds = np.arange(len(values)) // size
    family = (np.arange(len(values)) % 40).astype(np.int32)
    order = np.arange(len(values))
    if shuffled is not None:
        order = np.random.default_rng(shuffled).permutation(order)
    made = tracked(np.array(values)[order], family[order], rounds[order], rho=60.0)
    assert made is not None
    return made


@given(VALUES, st.integers(5, 40))
def test_more_looks_never_widen_the_interval_nor_raise_p(values: list[float], size: int) -> None:
    found = follow(values, size)
    for seen in range(1, len(found.looks)):
        before = Tracked(looks=found.looks[:seen], rho=found.rho)
        after = Tracked(looks=found.looks[: seen + 1], rho=found.rho)
        assert after.interval()[0] >= before.interval()[0]
        assert after.interval()[1] <= before.interval()[1]
        assert after.p() <= before.p()


@given(VALUES, st.integers(5, 40), st.integers(0, 99))
def test_the_order_of_samples_within_a_round_says_nothing(
    values: list[float], size: int, seed: int
) -> None:
    one, two = follow(values, size), follow(values, size, seed)
    assert one.interval() == pytest.approx(two.interval())
    assert one.p() == pytest.approx(two.p())


@given(VALUES, st.integers(5, 40))
def test_turning_all_signs_turns_the_verdict(values: list[float], size: int) -> None:
    one, two = follow(values, size), follow([-v for v in values], size)
    kind = decision(one, one.p(), 0.3)
    turned = {"worse": "better", "better": "worse"}.get(kind, kind)
    assert decision(two, two.p(), 0.3) == turned


@given(VALUES, st.integers(5, 40), st.floats(0.01, 0.2))
def test_a_stricter_level_never_narrows(values: list[float], size: int, alpha: float) -> None:
    found = follow(values, size)
    low, high = found.interval(alpha)
    lower, higher = found.interval(alpha / 2)
    assert lower <= low
    assert higher >= high


@given(STATES, PRICE, st.floats(0, 5000))
def test_the_order_of_systems_says_nothing(
    states: list[State], baseline: float, left: float
) -> None:
    mixed = sorted(states, key=lambda state: state.key)
    one = chosen(states, baseline, most=1000, left=left)
    assert set(chosen(mixed, baseline, most=1000, left=left)) == set(one)
    assert one
    assert set(chosen(states, baseline, most=1000)) == {state.key for state in states}


@given(STATES, PRICE, st.floats(0, 5000), st.floats(0, 5000))
def test_more_money_never_asks_fewer(
    states: list[State], baseline: float, left: float, more: float
) -> None:
    few = chosen(states, baseline, most=1000, left=left)
    many = chosen(states, baseline, most=1000, left=left + more)
    assert set(few) <= set(many)


@given(st.integers(0, 999))
def test_a_system_is_never_beaten_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    row, cost = (rng.random(80) < 0.5).astype(float), rng.random(80) + 0.1
    family, rounds = np.arange(80, dtype=np.int32), np.arange(80) // 40
    same = np.stack([row, row, row]), np.stack([cost, cost, cost])
    assert off_frontier(*same, family, rounds, rho=50.0) == {}
