"""Strategies that review, revise, hand on and think: what they ask, accept and count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest

from qbench.benchmarks.catalogue import load_strategy, strategy_of
from qbench.benchmarks.chat import ChatRequest, Message, Sampling, Timing, TokenUsage, Turn
from qbench.benchmarks.scoring.judging import judge
from qbench.benchmarks.suite import Sample
from qbench.benchmarks.transcript import Transcript
from qbench.workers.engines.behaviours import seeded
from qbench.workers.others import Marked
from tests.unit.known_skill import SAMPLES, SUMS, attempt, means, near, of_skill, tried
from tests.unit.test_asking import Says

SAMPLE = SAMPLES[0]
RIGHT = SAMPLE.answer or ""


class Judge:
    """Rates an attempt 10 or 0, rightly so often as its accuracy says."""

    def __init__(self, accuracy: float) -> None:
        self._accuracy, self._draw, self._count = accuracy, seeded(7), 0

    async def reply(self, request: ChatRequest) -> Turn:
        self._count += 1
        text = request.messages[-1].content
        right = any(one.prompt in text and f"answer: {one.answer}\n" in text for one in SAMPLES)
        said = right == (self._draw("judge", self._count) < self._accuracy)
        usage = TokenUsage(prompt_tokens=100, completion_tokens=1)
        message = Message(role="assistant", content=f"Rating: {10 if said else 0}")
        return Turn(message=message, finish_reason="stop", timing=_NOW, usage=usage)


_NOW = Timing(started_at=datetime.now(UTC), e2el_s=0.1)


def made_by(spelled: str, *lines: str, sample: Sample = SAMPLE) -> tuple[Transcript, Says]:
    chat = Says(*lines)
    return asyncio.run(attempt(spelled, sample, means(chat))), chat


def test_a_critique_is_told_and_the_second_answer_accepted() -> None:
    made, chat = made_by("self-critique", "1", "Count again.", RIGHT)
    assert made.answer == RIGHT
    assert "answer: 1" in chat.asked[1].messages[-1].content
    assert "Count again." in chat.asked[2].messages[-1].content
    assert made.accepted == (0, 1, 2)
    assert judge(SUMS, SAMPLE, made).components["strategy.candidates"] == 2


def test_refining_ends_when_the_model_is_content() -> None:
    made, _ = made_by("self-refine@3", "1", "Too small.", RIGHT, "STOP")
    assert made.answer == RIGHT
    assert [path.role for path in made.paths] == ["candidate", "feedback", "candidate", "feedback"]
    assert judge(SUMS, SAMPLE, made).passed


def test_refining_hears_all_that_was_said_before() -> None:
    _, chat = made_by("self-refine@2", "1", "Too small.", "2", "Still too small.", "3")
    assert "1. Too small.\n2. Still too small." in chat.asked[4].messages[-1].content


def test_tries_until_the_checker_accepts_are_geometric() -> None:
    found = tried("sequential@3", means(of_skill(0.4)))
    assert near(found.rate(), 1 - 0.6**3)
    calls = np.array([len(made.turns) for made in found.transcripts])
    assert abs(calls.mean() - (1 + 0.6 + 0.36)) < 3.3 * calls.std() / np.sqrt(len(calls))


def test_a_critic_of_its_own_stops_the_tries() -> None:
    made, _ = made_by("sequential@3:critic=self", "1", "Verdict: wrong", RIGHT, "Verdict: right")
    assert made.answer == RIGHT
    assert made.accepted == (0, 1, 3, 2)


def test_drafts_are_distilled_within_the_workspace_and_refined() -> None:
    lines = ("aaaa", "bbbb", "N1", "cccc", "dddd", "N2", RIGHT)
    made, chat = made_by("pdr@2:rounds=2:workspace=9", *lines)
    assert [path.role for path in made.paths].count("distillation") == 2
    assert [chat.asked[n].sampling.max_tokens for n in (2, 5)] == [9, 9]
    assert "N1" in chat.asked[3].messages[-1].content
    parts = judge(SUMS, SAMPLE, made).components
    assert parts["strategy.total_tokens"] == 7 * 10 + 4 * 4 + 2 * 2 + len(RIGHT)
    assert parts["strategy.accepted_tokens"] == 5 * 10 + 2 * 4 + 2 * 2 + len(RIGHT)


def test_thinking_is_cut_at_its_budget_and_told_to_wait() -> None:
    made, chat = made_by("budget:thinking=20:least=8", "12345", "67890", RIGHT)
    assert [request.sampling.max_tokens for request in chat.asked[:2]] == [20, 15]
    assert "Wait" in chat.asked[1].messages[-1].content
    assert "12345\n67890" in chat.asked[2].messages[-1].content
    assert made.answer == RIGHT
    assert [path.role for path in made.paths] == ["thinking", "thinking", "candidate"]


def test_enough_thinking_is_not_prolonged() -> None:
    made, _ = made_by("budget:thinking=20:least=3", "12345", RIGHT)
    assert len(made.turns) == 2


def test_a_cascade_hands_on_what_cannot_be_read() -> None:
    other = Marked(Says(RIGHT), "dear")
    made = asyncio.run(attempt("cascade:to=dear", SAMPLE, means(Says("No idea."), to=other)))
    assert made.answer == RIGHT
    assert [turn.by for turn in made.turns] == ["", "dear"]
    assert made.usage is not None
    assert made.usage.completion_tokens == len("No idea.")
    parts = judge(SUMS, SAMPLE, made).components
    assert parts["strategy.others_tokens"] == 10 + len(RIGHT)
    assert parts["strategy.total_tokens"] == 10 + len("No idea.")


def test_a_cascade_by_votes_has_the_accuracy_and_calls_of_its_theory() -> None:
    dear = Marked(of_skill(0.9, seed=1), "dear")
    found = tried("cascade@3:to=dear:unsure=votes:least=1", means(of_skill(0.7), to=dear))
    kept, right = 0.7**3 + 0.3**3, 0.7**3
    assert near(found.rate(), right + (1 - kept) * 0.9)
    handed = np.mean([any(turn.by for turn in made.turns) for made in found.transcripts])
    assert near(float(handed), 1 - kept)


def chosen_right(p: float, accuracy: float, n: int) -> float:
    """Return the chance that the first best-rated of n is right, by enumeration."""
    total = 0.0
    for rights in product((True, False), repeat=n):
        for fair in product((True, False), repeat=n):
            chance = np.prod([p if r else 1 - p for r in rights])
            chance *= np.prod([accuracy if f else 1 - accuracy for f in fair])
            rated = [r == f for r, f in zip(rights, fair, strict=True)]
            total += float(chance) * rights[rated.index(True) if any(rated) else 0]
    return total


@pytest.mark.parametrize("accuracy", [0.6, 0.9])
def test_a_judge_of_known_accuracy_chooses_as_its_theory_says(accuracy: float) -> None:
    given = means(of_skill(0.5), judge=Marked(Judge(accuracy), "j"))
    found = tried("best-of@3:verifier=judge:judge=j", given)
    assert near(found.rate(), chosen_right(0.5, accuracy, 3))
    assert found.rate("strategy.others_calls") == 3


def test_a_model_that_rates_itself_pays_for_it() -> None:
    made, _ = made_by(
        "best-of@2:verifier=judge", "1", RIGHT, "Rating: 2", "It is right.\nRating: 9/10"
    )
    assert made.answer == RIGHT
    assert judge(SUMS, SAMPLE, made).components["strategy.calls"] == 4


@pytest.mark.parametrize(
    ("spelled", "why"),
    [
        ("cascade", "to="),
        ("cascade@1:to=x:unsure=votes", "at least two"),
        ("cascade:to=x:unsure=luck", "no signal"),
        ("best-of@2:verifier=oracle", "no verifier"),
        ("best-of@2:verifier=tests", "show no tests"),
        ("best-of@2:judge=x", "nothing would ask"),
        ("sequential@2:critic=judge", "needs a judge"),
        ("budget:thinking=5:least=6", "between 0 and thinking"),
        ("pdr@2:rounds=0", "at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(spelled: str, why: str) -> None:
    strategy = strategy_of(spelled)
    assert why in load_strategy(strategy.name).refuse(strategy, SUMS)


def test_a_draft_at_temperature_zero_is_the_systems_own() -> None:
    given = means(of_skill(0.5), temperature=0.0)
    assert given.options.sampling == Sampling(temperature=0.0)
    made = tried("self-critique", given, SAMPLES[:20])
    assert all(len({path.answer for path in one.paths[::2]}) == 1 for one in made.transcripts)
