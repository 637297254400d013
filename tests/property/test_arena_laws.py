"""Laws of tournaments, whatever is drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.benchmarks.analysis.arena.brackets import due, shuffled
from qbench.benchmarks.analysis.arena.calibration import Choice, flipped, points
from qbench.benchmarks.analysis.arena.strengths import strengths
from qbench.benchmarks.scoring.pairwise import question, shown

CHOICES: list[Choice] = ["first", "second", "tie"]


@given(st.integers(2, 33), st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_any_bracket_has_one_winner_and_spares_nobody_twice(
    entrants: int, seed: int, luck: object
) -> None:
    names = tuple(f"s{n}" for n in range(entrants))
    order, won = shuffled(names, seed), dict[str, str]()
    played = dict.fromkeys(names, 0)
    while found := due(order, won):
        for one in found:
            played[one.one] += 1
            played[one.two] += 1
            won[one.slot] = luck.choice([one.one, one.two])  # type: ignore[attr-defined]
    assert len(won) == entrants - 1
    rounds = (entrants - 1).bit_length()
    assert rounds - 1 <= played[won["f"]] <= rounds


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_strengths_follow_the_systems_and_not_their_order(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wins = rng.integers(0, 6, (size, size)).astype(float)
    np.fill_diagonal(wins, 0)
    order = rng.permutation(size)
    one = strengths(wins[None]).strength[0]
    two = strengths(wins[np.ix_(order, order)][None]).strength[0]
    assert np.isfinite(one).all()
    assert np.allclose(one[order], two, atol=1e-6)


@given(st.lists(st.sampled_from(CHOICES), min_size=1, max_size=2))
def test_seen_from_the_other_side_a_match_is_its_mirror(pair: list[Choice]) -> None:
    found, mirrored = points(pair), points([flipped(choice) for choice in pair])
    assert found is not None
    assert mirrored is not None
    assert found + mirrored == 1


@given(st.text(max_size=200), st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_what_is_shown_to_a_judge_can_be_read_back(prompt: str, one: str, two: str) -> None:
    told = shown(question(prompt or "?", one, two, key="k")[-1].content)
    assert told == (prompt or "?", one, two)
