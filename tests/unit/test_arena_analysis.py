"""Brackets, strengths, standings and the calibration of judges: numbers by hand and in worlds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import optimize, special

from qbench.benchmarks.analysis.arena.brackets import due, every, matches, shuffled
from qbench.benchmarks.analysis.arena.calibration import calibration, points, trust
from qbench.benchmarks.analysis.arena.simulation import World, played
from qbench.benchmarks.analysis.arena.standings import Games, spearman, standings
from qbench.benchmarks.analysis.arena.strengths import ELO, islands, strengths

TEN = tuple("abcdefghij")


def _played_out(order: tuple[str, ...]) -> tuple[int, Counter[str], str]:
    """Let the first side of every match win; return matches, appearances and the winner."""
    won: dict[str, str] = {}
    seen: Counter[str] = Counter()
    while found := due(order, won):
        for one in found:
            seen.update((one.one, one.two))
            won[one.slot] = one.one
    return len(won), seen, won["f"]


@pytest.mark.parametrize("entrants", [2, 3, 5, 8, 10, 13])
def test_a_bracket_takes_one_match_less_than_entrants(entrants: int) -> None:
    order = shuffled(TEN[:entrants] + tuple("klm")[: max(0, entrants - 10)], 0, "p")
    made, seen, winner = _played_out(order)
    assert made == entrants - 1
    assert winner == order[0]
    assert set(seen) == set(order)


def test_matches_are_counted_as_in_the_paper() -> None:
    assert matches(10, 500, "single-elimination") == 4_500
    assert matches(10, 500, "anchored", outside=True) == 5_000
    assert matches(10, 500, "round-robin") == 22_500
    assert len(every(TEN)) * 500 == 22_500
    assert len(every(TEN, "a")) == 9


def test_byes_fall_on_everybody_alike() -> None:
    rounds: Counter[str] = Counter()
    for prompt in range(3_000):
        order = shuffled(TEN[:5], 7, prompt)
        first = due(order, {})
        rounds.update(name for one in first for name in (one.one, one.two))
    shares = np.array([rounds[name] / 3_000 for name in TEN[:5]])
    assert shares == pytest.approx(np.full(5, shares.mean()), abs=0.03)


def test_a_bracket_does_not_depend_on_the_order_of_its_entrants() -> None:
    assert shuffled(TEN, 1, "p") == shuffled(tuple(reversed(TEN)), 1, "p")
    assert shuffled(TEN, 1, "p") != shuffled(TEN, 2, "p")


def test_seven_to_three_are_147_elo() -> None:
    fit = strengths(np.array([[[0.0, 7.0], [3.0, 0.0]]]))
    assert ELO * (fit.strength[0, 0] - fit.strength[0, 1]) == pytest.approx(147.19, abs=0.005)
    assert bool(fit.bounded[0])


def test_strengths_are_those_of_a_general_optimizer() -> None:
    rng = np.random.default_rng(3)
    wins = rng.integers(1, 30, (6, 6)).astype(float)
    np.fill_diagonal(wins, 0)

    def loss(free: np.ndarray) -> float:
        gap = free[:, None] - free[None, :]
        return float(-(wins * special.log_expit(gap)).sum())

    other = optimize.minimize(loss, np.zeros(6), method="L-BFGS-B", tol=1e-14).x
    assert strengths(wins[None]).strength[0] == pytest.approx(other - other.mean(), abs=1e-4)


def test_who_never_loses_has_no_upper_end() -> None:
    wins = np.array([[[0.0, 5, 5], [0, 0, 3], [0, 2, 0]]])
    fit = strengths(wins)
    assert not fit.bounded[0]
    assert fit.above[0].tolist() == [True, False, False]
    assert fit.below[0].tolist() == [False, True, True]
    assert np.isfinite(fit.strength).all()


def test_a_perfect_record_is_reported_as_unbounded() -> None:
    size = 40
    games = Games(
        systems=("a", "b"),
        one=np.zeros(size, np.int64),
        two=np.ones(size, np.int64),
        points=np.ones(size),
        prompt=np.arange(size),
    )
    found = standings(games, resamples=200)
    assert found is not None
    assert (found.high[0], found.low[1]) == (np.inf, -np.inf)
    assert not found.bounded
    assert found.unbounded_share == 1


def test_systems_that_never_met_share_no_scale() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 1
    assert islands(wins) == 2
    games = Games(
        systems=tuple("abcd"),
        one=np.array([0, 2]),
        two=np.array([1, 3]),
        points=np.array([0.5, 0.5]),
        prompt=np.array([0, 1]),
    )
    assert standings(games) is None


def test_known_strengths_are_recovered() -> None:
    world = World(elo=np.linspace(1250, 750, 8))
    found = standings(played(world, 400, "single-elimination", np.random.default_rng(1)))
    assert found is not None
    assert spearman(found.rating, world.elo) > 0.97
    assert ((found.low <= world.elo) & (world.elo <= found.high)).sum() >= 7
    assert found.rating.mean() == pytest.approx(1000)


def test_rank_correlations_share_ranks_of_ties() -> None:
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 2, 2, 4], [1, 2, 3, 4]) == pytest.approx(0.9487, abs=1e-4)


def test_contradicting_orders_are_a_tie() -> None:
    assert points(("first", "second")) == 1.0
    assert points(("second", "first")) == 0.0
    assert points(("first", "first")) == 0.5
    assert points(("tie", "tie")) == 0.5
    assert points(("tie", "second")) == 0.5
    assert points(("first", "unread")) is None


def test_a_position_bias_shows_in_both_counts() -> None:
    found = trust([("first", "second"), ("first", "first"), ("second", "second"), ("tie", "tie")])
    assert (found.primacy, found.recency, found.pairs) == (1, 1, 4)
    assert found.consistent is not None
    assert found.consistent.value == 0.5
    assert found.first is not None
    assert found.first.value == pytest.approx(3 / 6)


def test_calibration_by_hand() -> None:
    found = calibration([0.9, 0.9, 0.6, 0.6], [True, True, True, False])
    assert found is not None
    assert found.ece == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    assert found.brier == pytest.approx((0.01 + 0.01 + 0.16 + 0.36) / 4)
    assert calibration([], []) is None
