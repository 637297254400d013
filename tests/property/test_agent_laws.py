"""Whatever a model writes: the loop ends, nothing raises, and the record can be stored."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from qbench.benchmarks.agent.calls import check_call
from qbench.benchmarks.agent.loop import AgentOptions, run_attempt
from qbench.benchmarks.agent.replies import CALLS, KEPT, clean, split_thinking
from qbench.benchmarks.chat import ToolCall, ToolSpec
from qbench.benchmarks.limits import Limits
from qbench.benchmarks.suite import Sample, ToolResult
from qbench.benchmarks.transcript import Transcript
from qbench.workers.engines.behaviours import Script, ScriptedTurn
from qbench.workers.engines.scripted import ScriptedChat

ANY = st.text(st.characters(), max_size=40)  # lone surrogates and NUL included
DEEP = '{"name": "add", "parameters": {"a": ' + "[" * 950 + "]" * 950 + "}}"
TAGS = ["<tool_call>", "</tool_call>", "<tool_response>", "<think>", "</think>", "```json\n", "```"]
JSON = ['{"name": "add", "arguments": {"a": 1}}', '{"name": "\\ud800", "arguments": {}}', "{", DEEP]
PARTS = st.sampled_from([*TAGS, *JSON])
SAID = st.lists(PARTS | ANY, max_size=12).map("".join)
ARGUMENTS = ['{"a": 1}', '{"a": 1e999}', '{"a": ' + "9" * 400 + "}", DEEP, '{"a": "\\u0000"}']
CALL = st.tuples(st.sampled_from(["add", "ad", ""]) | ANY, SAID | st.sampled_from(ARGUMENTS))
TURN = st.builds(
    ScriptedTurn,
    say=SAID,
    think=ANY,
    calls=st.lists(CALL, max_size=3).map(tuple),
    finish=st.sampled_from(["", "length", "stop", "content_filter"]),
)
ADD = ToolSpec(
    name="add",
    description="Add.",
    parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
)
SAMPLE = Sample(
    id="s", suite="toy", task="t", level=1, family="f", prompt="?", tools=("add",), world="w"
)


class Adding:
    specs = (ADD,)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        assert name == "add"
        assert isinstance(arguments["a"], int)
        return ToolResult(text="done")

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        del answer
        return {}


def play(turns: list[ScriptedTurn], protocol: str) -> Transcript:
    options = AgentOptions(limits=Limits(turns=4), tool_protocol=protocol)  # type: ignore[arg-type]  # a literal
    chat = ScriptedChat(Script({"*": turns}))
    return asyncio.run(run_attempt(SAMPLE, chat, Adding(), options))


@given(st.lists(TURN, min_size=1, max_size=4), st.sampled_from(["native", "text"]))
def test_any_reply_gives_a_transcript_that_survives_storage(
    turns: list[ScriptedTurn], protocol: str
) -> None:
    made = play(turns, protocol)
    stored = msgspec.json.decode(msgspec.json.encode(made), type=Transcript)
    assert stored == made
    assert len(made.turns) <= 4
    assert len(made.tool_runs) <= CALLS * len(made.turns)
    unread = {run.turn for run in made.tool_runs if run.arguments is None}
    assert len(unread) <= made.parse_failures <= len(made.turns)


@given(st.lists(TURN, min_size=1, max_size=4))
def test_what_is_sent_back_is_what_endpoints_take(turns: list[ScriptedTurn]) -> None:
    made = play(turns, "native")
    for message in made.messages:
        assert not message.reasoning
        for call in message.tool_calls:
            assert isinstance(msgspec.json.decode(call.arguments or "{}"), dict)
            assert call.name.replace("_", "").replace("-", "").isalnum() or "_" in call.name
            assert 1 <= len(call.name) <= 64


@given(st.text(st.characters()))
def test_clean_text_can_be_stored_and_is_stable(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert clean(cleaned) == cleaned
    assert len(cleaned) <= KEPT + 40


@given(SAID)
def test_splitting_thinking_invents_nothing(text: str) -> None:
    visible, thought = split_thinking(text)
    assert len(visible) + len(thought) <= len(text)
    if "<think>" not in text and "</think>" not in text:
        assert (visible, thought) == (text, "")


@given(ANY, SAID)
def test_checking_a_call_never_raises_and_always_says_why(name: str, arguments: str) -> None:
    checked = check_call(ToolCall(id="c", name=name, arguments=arguments), {"add": ADD})
    assert bool(checked.fault) == bool(checked.complaint)
    assert checked.arguments is not None or checked.fault == "invalid_json"
