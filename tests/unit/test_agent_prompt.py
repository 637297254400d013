from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from qbench.benchmarks.agent.loop import AgentOptions, first_messages
from qbench.benchmarks.chat import Message, ToolCall, ToolSpec
from qbench.benchmarks.suite import Sample

SHELF = Sample(
    id="s-1", suite="toy", task="shelf", level=1, family="f", prompt="Look.", system="Be brief."
)
NATIVE, TEXT = AgentOptions(), AgentOptions(tool_protocol="text")
EXAMPLES = (
    Message(role="user", content="Look."),
    Message(role="assistant", tool_calls=(ToolCall(id="e1", name="look", arguments="{}"),)),
    Message(role="tool", content="book", tool_call_id="e1"),
    Message(role="assistant", content="A book."),
)


def roles(messages: Sequence[Message]) -> list[str]:
    return [message.role for message in messages]


def test_the_system_prompt_stands_first_and_the_prompt_last() -> None:
    messages = first_messages(SHELF, NATIVE, ())
    assert [message.content for message in messages] == [SHELF.system, SHELF.prompt]
    assert roles(first_messages(replace(SHELF, system=""), NATIVE, ())) == ["user"]


def test_examples_are_shown_unless_switched_off() -> None:
    sample = replace(SHELF, examples=EXAMPLES)
    assert roles(first_messages(sample, NATIVE, ())) == ["system", *roles(EXAMPLES), "user"]
    assert roles(first_messages(sample, AgentOptions(examples=False), ())) == ["system", "user"]


LOOK = ToolSpec(name="look", description="See.", parameters={"type": "object"})


def test_in_text_the_tools_stand_in_the_system_prompt_and_examples_are_text() -> None:
    sample = replace(SHELF, examples=EXAMPLES)
    messages = first_messages(sample, TEXT, (LOOK,))
    assert roles(messages) == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[0].content.startswith(SHELF.system)
    assert '"name":"look"' in messages[0].content
    assert messages[3].content == "<tool_response>book</tool_response>"
    silent = replace(SHELF, tool_choice="none")
    assert first_messages(silent, TEXT, (LOOK,))[0].content == SHELF.system
