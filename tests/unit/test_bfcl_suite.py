"""The BFCL suite over a small set of data of our own: samples, solutions, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from qbench.benchmarks.agent.loop import AgentOptions, run_attempt
from qbench.benchmarks.chat import ChatRequest, Message, Timing, ToolCall, Turn
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.suites.bfcl.recording import Recorder
from qbench.benchmarks.suites.bfcl.records import MULTI_TURN, SINGLE
from qbench.benchmarks.suites.bfcl.suite import BfclSuite
from qbench.benchmarks.suites.bfcl.tools import safe_names, schema, tool_specs
from qbench.benchmarks.transcript import Transcript
from qbench.errors import ConfigError
from tests.bfcl_data import ADD, put

SUITE = BfclSuite()


class Plays:
    """Says its messages in order."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._left = list(messages)
        self.asked: list[ChatRequest] = []

    async def reply(self, request: ChatRequest) -> Turn:
        self.asked.append(request)
        message = self._left.pop(0)
        finish = "tool_calls" if message.tool_calls else "stop"
        timing = Timing(started_at=datetime.now(UTC), e2el_s=0.1)
        return Turn(message=message, finish_reason=finish, timing=timing)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch)


def sample(task: str) -> Sample:
    return SUITE.samples(seed=0, tasks=(task,), levels=(1,), limit=5)[0]


async def replied(asked: Sample, messages: Sequence[Message]) -> Transcript:
    expected = asked.details["expected"]
    tools = Recorder(tool_specs(expected["functions"], expected["language"]))
    return await run_attempt(asked, Plays(messages), tools, AgentOptions())


async def judged(asked: Sample, messages: Sequence[Message]) -> Score:
    return SUITE.score(asked, await replied(asked, messages))


def calling(*arguments: str) -> tuple[Message, ...]:
    calls = [ToolCall(id=f"c{n}", name="math_add", arguments=a) for n, a in enumerate(arguments)]
    return (Message(role="assistant", tool_calls=tuple(calls)),)


@pytest.mark.parametrize("task", SINGLE)
async def test_solutions_pass_and_blunders_fail(task: str) -> None:
    asked = sample(task)
    right = await judged(asked, SUITE.solution(asked))
    wrong = await judged(asked, SUITE.blunder(asked))
    assert (right.passed, right.reason) == (True, "")
    assert (wrong.passed, bool(wrong.reason)) == (False, True)


async def test_the_first_reply_is_the_answer_and_nothing_is_run() -> None:
    asked = sample("parallel")
    made = await replied(asked, calling('{"a": 2, "b": 3}', '{"a": 2, "b": "three"}'))
    assert [run.result for run in made.tool_runs] == ["Noted.", "Noted."]
    assert len(made.turns) == 1
    score = SUITE.score(asked, made)
    assert score.reason == "The value of b is wrong: 'three'."
    assert score.components["decision.arguments"] == 0.5
    assert "decision.recovery" not in score.components


async def test_a_call_that_cannot_be_read_makes_the_reply_no_call() -> None:
    good, broken = '{"a": 2, "b": 3}', '{"a": 2,'
    assert not (await judged(sample("parallel"), calling(good, broken))).passed
    assert (await judged(sample("irrelevance"), calling(broken))).passed
    assert not (await judged(sample("live_relevance"), calling(good, broken))).passed
    assert not (await judged(sample("irrelevance"), calling(good))).passed


async def test_votes_count_the_same_calls_as_the_same_answer() -> None:
    asked = sample("parallel")
    first = await replied(asked, calling('{"a": 2, "b": 3}', '{"a": 4, "b": 3}'))
    again = await replied(asked, calling('{"b": 3, "a": 4.0}', '{"b": 3, "a": 2}'))
    other = await replied(asked, calling('{"a": 2, "b": 3}'))
    broken = await replied(asked, calling('{"a": 2'))
    silent = await replied(asked, (Message(role="assistant", content="None fits."),))
    keys = [SUITE.answer_key(asked, one) for one in (first, again, other, broken, silent)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3:] == [None, "no call"]


def test_votes_count_the_same_states_as_the_same_answer() -> None:
    asked = sample("multi_turn_base")
    states = [turn["state"] for turn in asked.details["turns"]]
    whole = Transcript(messages=(), turns=(), states=tuple(states[:2]), end_state=states[2])
    assert SUITE.answer_key(asked, whole) == SUITE.answer_key(asked, replace(whole, answer="x"))
    assert SUITE.answer_key(asked, replace(whole, states=())) is None


@pytest.mark.parametrize("task", MULTI_TURN)
def test_multi_turn_samples_carry_what_each_turn_should_leave(task: str) -> None:
    asked = sample(task)
    first, idle, last = asked.details["turns"]
    assert [turn["calls"] for turn in (first, idle, last)] == [2, 0, 1]
    place = 902 if "long" in task else 2
    assert first["results"] == [f'{{"place": {place}}}', '{"count": 2}']
    assert last["state"] == asked.end_state
    assert asked.reference[0].arguments == {"title": "milk"}
    assert asked.family == "multi_turn/0"
    assert len(asked.follow_ups) == 2


def test_a_missing_function_is_offered_with_the_last_message() -> None:
    asked = sample("multi_turn_miss_func")
    assert asked.tools == ("add_ticket", "count")
    assert [one.tools for one in asked.follow_ups] == [(), ("drop_ticket",)]


def test_long_states_and_results_are_kept_as_digests() -> None:
    long = sample("multi_turn_long_context")
    assert long.end_state is not None
    assert set(long.end_state["TicketAPI"]["tickets"]) == {"sha256"}
    short = sample("multi_turn_base").end_state
    assert short == {"TicketAPI": {"tickets": ["bread"]}, "MathAPI": {}}


def test_a_seed_orders_the_questions_and_samples_are_the_same_again() -> None:
    drawn = SUITE.samples(seed=3, tasks=SUITE.tasks, levels=(1,), limit=9)
    assert [one.task for one in drawn] == list(SUITE.tasks[:9])
    every = SUITE.samples(seed=3, tasks=SUITE.tasks, levels=(1,), limit=1000)
    assert every[:9] == drawn
    assert len({one.id for one in every}) == len(every) == len(SUITE.tasks)
    assert msgspec.json.decode(msgspec.json.encode(every[-1]), type=Sample).id == every[-1].id
    assert SUITE.samples(seed=3, tasks=SUITE.tasks, levels=(2,), limit=9) == ()


def test_a_stored_sample_is_judged_the_same_way() -> None:
    asked = msgspec.json.decode(msgspec.json.encode(sample("simple_java")), type=Sample)
    assert not SUITE.score(asked, Transcript(messages=(), turns=())).passed


def test_without_the_data_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QBENCH_DATA", "/nonexistent")
    with pytest.raises(ConfigError, match="qbench suites get bfcl"):
        SUITE.samples(seed=0, tasks=("multiple",), levels=(1,), limit=1)


def test_names_are_made_safe_and_stay_apart() -> None:
    names = safe_names(["a.b", "a_b", "x" * 70, "x" * 71])
    assert [*names.values()] == ["a_b", "a_b_2", "x" * 64, f"{'x' * 60}_2"]


def test_descriptions_become_json_schema_or_source_text() -> None:
    (spec,) = tool_specs([ADD], "python")
    assert spec.parameters["properties"]["a"] == {"type": "number"}
    assert spec.parameters["required"] == ["a", "b"]
    (java,) = tool_specs([ADD], "java")
    assert java.parameters["properties"]["a"]["type"] == "string"
    assert "Java source of type float" in java.parameters["properties"]["a"]["description"]
    odd = {"type": "ArrayList", "items": {"type": "dict", "required": True}, "enum": "no"}
    assert schema(odd) == {"type": "array", "items": {"type": "object"}}


def test_a_turn_is_judged_by_calls_state_and_results() -> None:
    asked = sample("multi_turn_base")
    turns = asked.details["turns"]
    whole = Transcript(
        messages=(),
        turns=(),
        states=(turns[0]["state"], turns[1]["state"]),
        end_state=asked.end_state,
    )
    assert SUITE.score(asked, whole).reason == "Turn 1: no tool was called."
    early = replace(whole, states=(), stop="turns")
    assert "ended in turn 1 of 3: turns" in SUITE.score(asked, early).reason
