"""Strategies that add a tool, plan over many steps, or show tools in examples."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from qbench.benchmarks.catalogue import load_suite, strategy_of
from qbench.benchmarks.chat import ChatRequest, Message, ToolCall, ToolSpec, Turn
from qbench.benchmarks.sandbox.running import sandbox_kind
from qbench.benchmarks.scoring.judging import judge
from qbench.benchmarks.scoring.votes import answer_key
from qbench.benchmarks.strategies.tools import Tools
from qbench.benchmarks.suite import Sample, Score, ToolBox, ToolResult
from qbench.benchmarks.transcript import ToolRun, Transcript
from qbench.errors import ConfigError
from tests.unit.known_skill import SAMPLES, SUMS, attempt, means
from tests.unit.test_asking import Says

MCP = load_suite("mcp")
OFFICE = MCP.samples(seed=0, tasks=("inventory",), levels=(3,), limit=1)[0]


class Calls(Says):
    """Says texts, or whole messages with calls."""

    def __init__(self, *lines: str | Message) -> None:
        super().__init__(*("" if isinstance(line, Message) else line for line in lines))
        self._said = list(lines)

    async def reply(self, request: ChatRequest) -> Turn:
        turn, said = await super().reply(request), self._said.pop(0)
        if isinstance(said, str):
            return turn
        return Turn(message=said, finish_reason="tool_calls", timing=turn.timing, usage=turn.usage)


class Counter:
    """One tool, which says how often it was called."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return (ToolSpec(name="look", description="Look.", parameters={"type": "object"}),)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        del name, arguments
        self.count += 1
        return ToolResult(text=f"look {self.count}")

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        del answer
        return {"count": self.count}


@asynccontextmanager
async def counting(_: Sample) -> AsyncIterator[ToolBox]:
    yield Counter()


def calling(number: int, name: str = "look", arguments: str = "{}") -> Message:
    call = ToolCall(id=f"c{number}", name=name, arguments=arguments)
    return Message(role="assistant", tool_calls=(call,))


async def made_of(spelled: str, chat: Says) -> Transcript:
    return await attempt(spelled, OFFICE, replace(means(chat), suite=MCP, open_world=counting))


async def test_a_python_tool_runs_in_the_sandbox_and_is_no_tool_of_the_sample() -> None:
    try:
        await sandbox_kind()
    except ConfigError as error:
        pytest.skip(error.what)
    chat = Calls(calling(1, "python", '{"code": "print(6 * 7)"}'), SAMPLES[0].answer or "")
    made = await attempt("tools", SAMPLES[0], means(chat))
    assert made.tool_runs[0].result.strip() == "42"
    assert [spec.name for spec in chat.asked[0].tools] == ["python"]
    score, plain = judge(SUMS, SAMPLES[0], made), judge(SUMS, SAMPLES[0], _without(made))
    assert score.passed
    assert _decisions(score) == _decisions(plain)


def _decisions(score: Score) -> dict[str, float]:
    parts = score.components.items()
    return {key: part for key, part in parts if not key.startswith(("radar", "strategy"))}


def _without(made: Transcript) -> Transcript:
    return Transcript(messages=made.messages, turns=made.turns, answer=made.answer)


def test_a_python_tool_beside_tools_of_the_sample_is_refused() -> None:
    assert "tools of their own" in Tools().refuse(strategy_of("tools"), MCP)
    assert not Tools().refuse(strategy_of("tools"), SUMS)


async def test_an_agent_plans_every_so_many_steps_and_stops_at_its_limit() -> None:
    chat = Calls("P1", calling(1), calling(2), "P2", calling(3), calling(4))
    made = await made_of("agent:steps=4:plan=2", chat)
    assert [path.role for path in made.paths] == ["candidate", "plan", "plan"]
    assert made.stop == "turns"
    assert any("Plan:\nP2" in message.content for message in chat.asked[4].messages)
    assert made.accepted == (1, 2, 0)
    assert made.seconds == made.paths[0].seconds


async def test_a_summary_replaces_what_is_behind() -> None:
    chat = Calls("P", calling(1), "S1", calling(2), "S2", "Done.")
    made = await made_of("agent:steps=3:plan=3:memory=summary", chat)
    last = chat.asked[-1].messages
    assert [message.role for message in last].count("tool") == 1
    assert "look 2" in last[-1].content
    assert any("Done before:\nS2" in message.content for message in last)
    assert made.answer == "Done."


async def test_votes_with_tools_count_the_state_that_they_left() -> None:
    chat = Calls(calling(1), "Done.", "Done.", "Done.")
    made = await made_of("majority@3", chat)
    assert made.tool_runs
    assert made.end_state == {"count": 0}


async def test_worked_examples_show_what_the_tools_really_said() -> None:
    chat = Calls("Done.")
    await made_of("few-shot@1", chat)
    shown = [message for message in chat.asked[0].messages if message.role == "tool"]
    assert shown
    assert shown[0].content == "look 1"


def test_states_that_differ_in_order_alone_are_one_vote() -> None:
    one, two = (
        Transcript(messages=(), turns=(), answer="5", end_state={"rows": rows})
        for rows in ([{"a": 1}, {"b": 2}], [{"b": 2}, {"a": 1}])
    )
    assert answer_key(MCP, OFFICE, one) == answer_key(MCP, OFFICE, two)


async def test_the_tests_that_a_prompt_shows_choose_among_candidates() -> None:
    class Shown(type(SUMS)):  # type: ignore[misc]  # the class of a value
        """Says that 40 passes every shown test, and nothing else any."""

        def score(self, sample: Sample, transcript: Transcript) -> Score:
            del sample
            share = float(transcript.answer == "40")
            return Score(status="scored", components={"examples": share})

    chat = Says("1", "40", "41")
    given = replace(means(chat), suite=Shown())
    made = await attempt("best-of@3:verifier=tests", SAMPLES[0], given)
    assert made.answer == "40"


def test_calls_are_the_vote_where_no_world_remembers_them() -> None:
    sample = Sample(id="", suite="", task="", level=1, family="", prompt="", tools=("look",))
    one, two, other = (
        Transcript(
            messages=(),
            turns=(),
            tool_runs=tuple(
                ToolRun(turn=0, call_id="", name="look", arguments={"at": at}) for at in order
            ),
        )
        for order in ([1, 2], [2, 1], [1, 3])
    )
    keys = [answer_key(SUMS, sample, made) for made in (one, two, other)]
    assert keys[0] == keys[1] != keys[2]
