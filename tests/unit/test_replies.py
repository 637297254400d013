from __future__ import annotations

import pytest

from qbench.benchmarks.agent.replies import (
    CALLS,
    KEPT,
    clean,
    clean_message,
    split_thinking,
    to_send,
)
from qbench.benchmarks.chat import Message, ToolCall


@pytest.mark.parametrize(
    ("text", "visible", "thought"),
    [
        ("Four.", "Four.", ""),
        ("<think>2+2</think>Four.", "Four.", "2+2"),
        ("2+2</think>Four.", "Four.", "2+2"),
        ("<think>2+2", "", "2+2"),
        ("  <think>2+2", "", "2+2"),
        ("<think>a</think>One.<think>b</think> Two.", "One. Two.", "a\nb"),
        ("Write <think> first.", "Write <think> first.", ""),
        ("<think></think>Four.", "Four.", ""),
    ],
)
def test_thinking_is_taken_from_the_answer(text: str, visible: str, thought: str) -> None:
    assert split_thinking(text) == (visible, thought)


def test_long_texts_are_cut_and_say_so() -> None:
    assert clean("x" * KEPT) == "x" * KEPT
    assert clean("x" * (KEPT + 5)) == "x" * KEPT + "\n[5 characters cut]"


def test_what_cannot_be_stored_is_replaced() -> None:
    assert clean("a\0b") == "a\ufffdb"
    assert clean("a\ud800b") == "a?b"
    assert clean("häuser \U0001f3e0") == "häuser \U0001f3e0"


def test_a_clean_message_is_returned_as_it_is() -> None:
    call = ToolCall(id="c", name="add", arguments="{}")
    message = Message(role="assistant", content="Now.", tool_calls=(call,), reasoning="Hm.")
    assert clean_message(message) is message


def test_a_message_keeps_its_first_calls_with_short_names() -> None:
    calls = tuple(ToolCall(id=str(n), name="n" * 9000, arguments="{}\0") for n in range(CALLS + 1))
    kept = clean_message(Message(role="assistant", tool_calls=calls)).tool_calls
    assert len(kept) == CALLS
    assert (kept[0].name, kept[0].arguments) == ("n" * 256, "{}\ufffd")


def test_thinking_in_the_content_joins_the_reasoning_of_the_endpoint() -> None:
    message = Message(role="assistant", content="<think>b</think>Four.", reasoning="a")
    assert clean_message(message) == Message(role="assistant", content="Four.", reasoning="a\nb")


def test_what_is_sent_back_has_no_thinking_and_no_broken_calls() -> None:
    calls = (
        ToolCall(id="c0", name="add", arguments='{"a": 1}'),
        ToolCall(id="c1", name="add", arguments='{"a": '),
        ToolCall(id="c2", name="no such tool!", arguments="{}"),
        ToolCall(id="c3", name="", arguments="{}"),
    )
    message = Message(role="assistant", content="Now.", tool_calls=calls, reasoning="Hm.")
    sent = to_send(message, unreadable=frozenset({"c1"}), known=frozenset({"add"}))
    assert (sent.content, sent.reasoning) == ("Now.", "")
    assert [(call.name, call.arguments) for call in sent.tool_calls] == [
        ("add", '{"a": 1}'),
        ("add", "{}"),
        ("no_such_tool_", "{}"),
        ("unknown", "{}"),
    ]
    assert [call.id for call in sent.tool_calls] == ["c0", "c1", "c2", "c3"]


def test_a_name_that_is_offered_is_sent_as_it_is() -> None:
    message = Message(role="assistant", tool_calls=(ToolCall(id="c", name="a.b", arguments="{}"),))
    assert to_send(message, unreadable=frozenset(), known=frozenset({"a.b"})) == message
