from __future__ import annotations

import pytest

from qbench.benchmarks.agent.text_protocol import (
    as_text,
    instructions,
    read_reply,
    write_call,
    write_results,
)
from qbench.benchmarks.chat import Message, ToolCall, ToolSpec

ADD = ToolSpec(name="add", description="Add.", parameters={"type": "object"})
GOOD = '{"name": "add", "arguments": {"a": 1}}'


def read(text: str) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in read_reply(text, id_prefix="c").calls]


def test_instructions_show_each_tool_on_a_line_and_how_to_call() -> None:
    said = instructions([ADD], "auto")
    assert '{"name":"add","description":"Add.","parameters":{"type":"object"}}' in said.split("\n")
    assert '<tool_call>{"name": "tool"' in said
    assert "must" not in said
    assert instructions([ADD], "required").endswith("You must call a tool before you answer.")


def test_a_call_is_read_with_the_text_around_it() -> None:
    reading = read_reply(f"I add.<tool_call>{GOOD}</tool_call> So.", id_prefix="call_2_")
    assert reading.text == "I add. So."
    assert reading.calls == (ToolCall(id="call_2_0", name="add", arguments='{"a": 1}'),)


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{GOOD}",
        f"<tool_call>\n{GOOD}\n</tool_call>",
        f"<tool_call>```json\n{GOOD}\n```</tool_call>",
        f"<tool_call>[{GOOD}]</tool_call>",
        '<tool_call>{"name": "add", "parameters": {"a": 1}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>',
        f'<tool_call>{{"type": "function", "function": {GOOD}}}</tool_call>',
        f"<tool_call>{GOOD} as you asked</tool_call>",
        f"<tool_call>{GOOD}<tool_response>2</tool_response></tool_call>",
        f"{GOOD}",
        f"```json\n{GOOD}\n```",
    ],
)
def test_the_wrapping_is_read_leniently(text: str) -> None:
    assert read(text) == [("add", '{"a": 1}')]


def test_several_calls_keep_their_order() -> None:
    other = '{"name": "sub", "arguments": {}}'
    assert [name for name, _ in read(f"<tool_call>{GOOD}</tool_call><tool_call>{other}")] == [
        "add",
        "sub",
    ]
    assert [name for name, _ in read(f"<tool_call>[{other}, {GOOD}]</tool_call>")] == ["sub", "add"]


def test_results_that_the_model_invents_are_no_part_of_its_answer() -> None:
    text = f"<tool_call>{GOOD}</tool_call><tool_response>7</tool_response>So it is 7."
    assert read_reply(text, id_prefix="c").text == ""


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ('{"name": "add", "arguments": {"a":', "add"),
        ("add(a=1)", ""),
        ("{}", ""),
        ('{"name": 3}', ""),
        ("3", ""),
        ("[]", ""),
        ("", ""),
    ],
)
def test_a_block_that_is_no_call_is_an_attempt_that_could_not_be_read(
    block: str, name: str
) -> None:
    assert read(f"<tool_call>{block}</tool_call>") == [(name, block)]


@pytest.mark.parametrize(
    "text",
    [
        "The sum is 3.",
        '{"answer": 3}',
        '{"name": "Ada"}',
        f"Write {GOOD} to add.",
        "[1, 2]",
        "{",
        "",
    ],
)
def test_an_answer_is_not_taken_for_a_call(text: str) -> None:
    assert read_reply(text, id_prefix="c").calls == ()
    assert read_reply(text, id_prefix="c").text == text


def test_newlines_inside_strings_are_forgiven() -> None:
    text = '<tool_call>{"name": "add", "arguments": {"a": "x\ny"}}</tool_call>'
    assert read(text) == [("add", '{"a": "x\\ny"}')]


def test_missing_arguments_are_an_empty_object() -> None:
    assert read('<tool_call>{"name": "add"}</tool_call>') == [("add", "{}")]


@pytest.mark.parametrize("levels", [900, 940, 960, 980, 1000, 50_000])
def test_deep_nesting_never_raises(levels: int) -> None:
    text = '{"name": "add", "arguments": {"a": ' + "[" * levels + "]" * levels + "}}"
    assert len(read(f"<tool_call>{text}</tool_call>")) == 1


def test_examples_are_rewritten_as_text() -> None:
    calls = tuple(ToolCall(id=n, name="add", arguments='{"a": 1}') for n in "xy")
    written = as_text(
        [
            Message(role="user", content="Add."),
            Message(role="assistant", content="Now.", tool_calls=calls),
            Message(role="tool", content="1", tool_call_id="x"),
            Message(role="tool", content="2", tool_call_id="y"),
        ]
    )
    assert [message.role for message in written] == ["user", "assistant", "user"]
    assert written[1].content == f"Now.\n{write_call(calls[0])}\n{write_call(calls[1])}"
    assert written[1].tool_calls == ()
    assert written[2] == write_results(["1", "2"])
    assert write_results(["1", "2"]).content == (
        "<tool_response>1</tool_response>\n<tool_response>2</tool_response>"
    )
