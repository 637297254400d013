"""Attempts of several paths: all that was asked is kept, what was accepted is judged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from qbench.benchmarks.agent.asking import Asking, Means
from qbench.benchmarks.agent.loop import AgentOptions, AttemptFailed
from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import ChatRequest, Message, Sampling, Timing, TokenUsage, Turn
from qbench.benchmarks.scoring.judging import judge
from qbench.benchmarks.servers.no_tools import NO_TOOLS
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategies.way import make_attempt
from qbench.benchmarks.strategy import Strategy
from qbench.benchmarks.suite import FollowUp, Sample, ToolBox
from qbench.errors import EngineTimeout


class Says:
    """Says its lines in order; raises where a line is None."""

    def __init__(self, *lines: str | None) -> None:
        self._lines = list(lines)
        self.asked: list[ChatRequest] = []

    async def reply(self, request: ChatRequest) -> Turn:
        self.asked.append(request)
        line = self._lines.pop(0)
        if line is None:
            raise EngineTimeout("Silence.", hint="Wait.")
        return Turn(
            message=Message(role="assistant", content=line),
            finish_reason="stop",
            timing=Timing(started_at=datetime.now(UTC), e2el_s=0.1),
            usage=TokenUsage(prompt_tokens=10, completion_tokens=len(line)),
        )


@asynccontextmanager
async def nothing(_: Sample) -> AsyncIterator[ToolBox]:
    yield NO_TOOLS


SUM = load_suite("sums").samples(seed=0, tasks=("add",), levels=(1,), limit=1)[0]


def asking(chat: Says, sample: Sample = SUM, seed: int | None = None) -> Asking:
    options = AgentOptions(sampling=Sampling(seed=seed))
    return Asking(sample, Strategy(), Means(chat=chat, open_world=nothing, options=options))


class Twice(Single):
    """Asks twice and a third time for nothing; accepts the second."""

    async def make(self, asking: Asking) -> tuple[int, ...]:
        await asking.path()
        second = await asking.path()
        await asking.say([Message(role="user", content="Well?")], role="critique")
        return (second,)


async def test_one_path_is_the_whole_attempt() -> None:
    made = await make_attempt(Single(), asking(Says("7")))
    assert made.answer == "7"
    assert made.paths == ()


async def test_all_calls_are_counted_and_the_accepted_path_is_judged() -> None:
    right, wrong = SUM.answer or "", "1000"
    made = await make_attempt(Twice(), asking(Says(wrong, right, "Fine.")))
    score = judge(load_suite("sums"), SUM, made)
    assert made.answer == right
    assert score.passed
    assert score.components["strategy.calls"] == 3
    assert score.components["strategy.candidates"] == 2
    assert (score.components["strategy.best"], score.components["strategy.worst"]) == (1, 0)
    assert score.components["strategy.accepted_tokens"] == 10 + len(right)
    assert score.components["strategy.total_tokens"] == 30 + len(wrong) + len(right) + 5


async def test_a_failure_keeps_what_was_spent() -> None:
    with pytest.raises(AttemptFailed) as failed:
        await make_attempt(Twice(), asking(Says("3", None)))
    assert [turn.message.content for turn in failed.value.transcript.turns] == ["3"]


async def test_each_path_has_a_seed_of_its_own() -> None:
    chat = Says("1", "2", "3")
    await make_attempt(Twice(), asking(chat, seed=5))
    assert [request.sampling.seed for request in chat.asked] == [5, 6, 7]


def said(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages if message.role != "system"]


async def test_the_user_goes_on_once_the_model_has_answered() -> None:
    sample = Sample(
        id="",
        suite="sums",
        task="add",
        level=1,
        family="",
        prompt="One?",
        follow_ups=(FollowUp(prompt="Two?"),),
    )
    made = await make_attempt(Single(), asking(Says("1", "2"), sample))
    assert said(made.messages) == ["One?", "1", "Two?", "2"]
    assert made.answer == "2"
