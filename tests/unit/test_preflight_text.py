from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.workers.preflight_text import visible_calls

NAMES = ("get_weather", "add")
DEEPSEEK = (
    "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function"
    '<\uff5ctool\u2581sep\uff5c>add\n```json\n{"a": 1}\n```'
)
OBJECT = '{"name": "add", "arguments": {"a": 1, "b": 2}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{OBJECT}\n</tool_call>",  # Hermes, Qwen
        f"<tool_call>[{OBJECT}]</tool_call>",  # SmolLM2
        f"Sure.\n<tool_call>\n{OBJECT}",  # broken off after the call
        "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>",  # Qwen3-Coder
        '<function=add>{"a": 1}</function>',  # Llama 3.1, custom
        '<|python_tag|>{"name": "add", "parameters": {"a": 1}}',  # Llama 3.2
        f"[TOOL_CALLS] [{OBJECT}]",  # Mistral 7B
        '[TOOL_CALLS]add[ARGS]{"a": 1}',  # Mistral from 2025 on
        f"functools[{OBJECT}]",  # Phi-4 mini
        DEEPSEEK,
        '<|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{"a": 1}',  # Kimi K2
        "<tool_call>add\n<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",  # GLM 4.5
        '<minimax:tool_call><invoke name="add"><parameter name="a">1</parameter></invoke>',
    ],
)
def test_calls_are_seen_in_every_familys_dialect(text: str) -> None:
    found = visible_calls(text, NAMES)
    assert [(call.name, call.marked) for call in found] == [("add", True)]


@pytest.mark.parametrize(
    "text",
    [
        OBJECT,
        f"```json\n{OBJECT}\n```",
        '{"name": "add", "parameters": {"a": 1}}',
        '{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}',
        "[add(a=1, b=2)]",
    ],
)
def test_look_alikes_are_seen_and_told_apart(text: str) -> None:
    assert [(call.name, call.marked) for call in visible_calls(text, NAMES)] == [("add", False)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would call add with 1 and 2.",
        "The add(a, b) tool sums two integers.",
        '<tool_call>\n{"name": "add", "arguments": {"a": 1',
        '<tool_call>\n{"name": "subtract", "arguments": {}}\n</tool_call>',
        '{"name": "add"}',
        '{"name": "Ana", "arguments": {}}',
        "<tool_call></tool_call> then add it up: {}",
        "sum = [x.add(a=1), y]",
    ],
)
def test_prose_and_broken_calls_are_none(text: str) -> None:
    assert visible_calls(text, NAMES) == []


def test_several_calls_are_counted_in_order() -> None:
    text = f"<tool_call>{OBJECT}</tool_call><tool_call>{OBJECT.replace('add', 'get_weather')}"
    assert [call.name for call in visible_calls(text, NAMES)] == ["add", "get_weather"]


@given(st.text(alphabet=st.sampled_from('{}[]()<>|"=:, addname\n')))
def test_no_text_breaks_the_search(text: str) -> None:
    assert all(call.name in NAMES for call in visible_calls(text, NAMES))
