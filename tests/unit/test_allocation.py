"""Who is asked next, and who is surely no candidate any more."""

import math

import numpy as np

from qbench.benchmarks.analysis.sequential.allocation import State, chosen, off_frontier


def state(key: str, wanted: float, cost: float = 1.0, done: int = 100) -> State:
    return State(key=key, done=done, wanted=wanted, cost=cost)


def test_without_a_budget_everybody_undecided_goes_on() -> None:
    states = [state("a", 200), state("b", math.inf), state("c", 5000, 100.0)]
    assert chosen(states, 1.0, most=1000) == ("a", "b", "c")
    assert chosen([], 1.0, most=1000, left=5.0) == ()


def test_little_money_goes_to_the_verdicts_that_it_can_buy() -> None:
    near, dear, hopeless = state("near", 150), state("dear", 150, 10.0), state("hopeless", 4000)
    states = [hopeless, dear, near]
    assert chosen(states, 1.0, most=1000, left=120.0) == ("near",)
    assert chosen(states, 1.0, most=1000, left=600.0) == ("dear", "near")
    assert chosen(states, 1.0, most=1000, left=2400.0) == ("hopeless", "dear", "near")
    assert chosen(states, 1.0, most=1000, left=0.0) == ("near",)


def test_an_unknown_price_rules_nobody_out() -> None:
    states = [state("a", 200), state("b", 4000, math.nan)]
    assert chosen(states, 1.0, most=1000, left=1.0) == ("a", "b")
    assert chosen(states[:1], math.nan, most=1000, left=1.0) == ("a",)


def test_what_is_worse_and_dearer_is_off_the_frontier() -> None:
    rng = np.random.default_rng(3)
    good = (rng.random(400) < 0.8).astype(float)
    rates = np.stack([good, (rng.random(400) < 0.4).astype(float), good])
    costs = np.stack([np.full(400, 1.0), np.full(400, 2.0), np.full(400, 0.5)])
    family, rounds = np.arange(400, dtype=np.int32), np.arange(400) // 100
    found = off_frontier(rates, costs, family, rounds, rho=100.0)
    assert found.keys() == {1}
    assert off_frontier(rates, costs[::-1] * np.nan, family, rounds, rho=100.0) == {}
    cheap = np.stack([costs[0], costs[0] / 4, costs[2]])
    assert off_frontier(rates, cheap, family, rounds, rho=100.0) == {}
