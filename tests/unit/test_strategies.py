"""Strategies recover their theory on models of known skill, and count all that they ask."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from qbench.benchmarks.catalogue import STRATEGIES, load_strategy, strategy_of
from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.judging import judge
from tests.unit.known_skill import SAMPLES, SUMS, attempt, majority_of, means, near, of_skill, tried
from tests.unit.test_asking import Says


@pytest.mark.parametrize("k", [1, 3, 4, 5])
def test_a_majority_of_independent_votes_is_binomial(k: int) -> None:
    found = tried(f"majority@{k}", means(of_skill(0.7)))
    assert near(found.rate(), majority_of(0.7, k))
    assert all(len(made.turns) == k for made in found.transcripts)


def test_votes_of_a_weak_model_make_it_worse() -> None:
    assert near(tried("majority@5", means(of_skill(0.3))).rate(), majority_of(0.3, 5))


def test_the_best_of_n_by_the_suites_own_verdict_is_coverage() -> None:
    found = tried("best-of@4", means(of_skill(0.3)))
    assert near(found.rate(), 1 - 0.7**4)
    assert found.rate() == found.rate("strategy.best")
    assert near(found.rate("strategy.majority"), majority_of(0.3, 4))


def test_epochs_of_a_vote_are_drawn_anew() -> None:
    chat = of_skill(0.5)
    first, second = (tried("majority@1", means(chat)) for _ in range(2))
    same = np.mean([a.passed == b.passed for a, b in zip(first.scores, second.scores, strict=True)])
    assert near(float(same), 0.5)


def test_a_vote_that_cannot_be_read_abstains_and_ties_go_to_the_first() -> None:
    chat = Says("no idea", "The sum is 41.", "**42**", "41", "answer: 42.0")
    made = asyncio.run(attempt("majority@5", SAMPLES[0], means(chat)))
    assert made.answer == "The sum is 41."


def test_all_votes_are_counted_and_one_is_waited_for() -> None:
    answer = SAMPLES[0].answer or ""
    made = asyncio.run(attempt("majority@3", SAMPLES[0], means(Says(answer, "1", answer))))
    parts = judge(SUMS, SAMPLES[0], made).components
    assert parts["strategy.accepted_tokens"] == 10 + len(answer)
    assert parts["strategy.total_tokens"] == 30 + 2 * len(answer) + 1
    assert parts["strategy.passed"] == 2


def test_few_shot_shows_worked_examples_that_no_run_asks() -> None:
    chat = Says("1")
    asyncio.run(attempt("few-shot@2", SAMPLES[0], means(chat)))
    shown = [m.content for m in chat.asked[0].messages if m.role == "user"]
    asked = {sample.prompt for sample in SAMPLES}
    assert len(shown) == 3
    assert shown[-1] == SAMPLES[0].prompt
    assert not asked & set(shown[:-1])


def test_a_chain_of_thought_is_asked_for_without_terse_examples() -> None:
    chat = Says("3 and 4 make 7.\n7")
    asyncio.run(attempt("cot", SAMPLES[0], means(chat)))
    said = [message for message in chat.asked[0].messages if message.role != "system"]
    assert len(said) == 1
    assert "step by step" in said[0].content


def test_examples_of_a_finite_suite_are_refused() -> None:
    class Finite(type(SUMS)):  # type: ignore[misc]  # the class of a value
        generated = False

    way, strategy = load_strategy("few-shot"), strategy_of("few-shot@3")
    assert "finite" in way.refuse(strategy, Finite())
    assert not way.refuse(strategy, SUMS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_asks_along_no_more_paths_than_it_said(name: str) -> None:
    strategy = strategy_of(name)
    made = asyncio.run(attempt(name, SAMPLES[0], means(of_skill(0.5), to=of_skill(1))))
    own = [path for path in made.paths if not any(made.turns[turn].by for turn in path.turns)]
    assert max(1, len(own)) <= load_strategy(name).calls(strategy)


def test_a_path_of_its_own_is_no_message_of_another() -> None:
    """Each vote begins with the sample alone: nothing of the others leaks into it."""
    chat = Says("1", "2", "3")
    asyncio.run(attempt("majority@3", SAMPLES[0], means(chat)))
    first = [Message(role=m.role, content=m.content) for m in chat.asked[0].messages]
    assert all(list(one.messages) == first for one in chat.asked)
