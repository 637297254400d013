"""Prompts of vLLM and of the embedded engine, letter by letter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from qbench.workers.embedded.prompts import Prompts
from qbench.workers.engines.vllm_template import own_template, template_for, with_tools
from qbench.workers.gguf_import import read_tokenizer
from tests.tiny_model import PLAIN_TEMPLATE, gguf_fields

Json = dict[str, Any]

TOOLS: tuple[Json, ...] = (
    {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {"properties": {"a": {"type": "integer"}, "b": {"type": ["integer"]}}},
    },
    {"name": "list_all", "description": "List everything."},
    {
        "name": "sort",
        "parameters": {"properties": {"order": {"enum": ["up", "down"]}, "by": {}}},
    },
)
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
USER = {"role": "user", "content": "Add 1 and 2 – für Ana."}
CONVERSATIONS: tuple[Sequence[Json], ...] = (
    [USER],
    [{"role": "system", "content": "Be brief."}, USER],
    [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}],
    [
        USER,
        {"role": "assistant", "content": "Well.", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": '{"sum": 3}', "tool_call_id": "1"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "Thanks."},
    ],
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return read_tokenizer(gguf_fields())


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("tools", [TOOLS, TOOLS[1:2], ()])
def test_both_engines_write_the_same_prompt(
    tokenizer: PreTrainedTokenizerFast, messages: Sequence[Json], tools: Sequence[Json]
) -> None:
    wrapped: list[Any] = [{"type": "function", "function": tool} for tool in tools]
    on_the_wire = [arguments_as_text(message) for message in messages]
    expected = tokenizer.decode(Prompts(tokenizer).encode(on_the_wire, wrapped, forced=False))
    made = tokenizer.apply_chat_template(
        list(messages),
        tools=wrapped or None,
        chat_template=with_tools(PLAIN_TEMPLATE),
        add_generation_prompt=True,
        tokenize=False,
    )
    assert made == expected


def arguments_as_text(message: Json) -> Json:
    calls = [
        {**call, "function": {**call["function"], "arguments": json.dumps(CALL_ARGUMENTS)}}
        for call in message.get("tool_calls", ())
    ]
    return {**message, "tool_calls": calls} if calls else message


CALL_ARGUMENTS = {"a": 1}


def test_only_chatml_without_a_place_for_tools_is_helped(tmp_path: Path) -> None:
    assert template_for("org/unheard-of") == ""
    (tmp_path / "config.json").write_text("{}")
    assert template_for(str(tmp_path)) == ""
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": PLAIN_TEMPLATE}))
    assert template_for(str(tmp_path)) == with_tools(PLAIN_TEMPLATE)
    own = tmp_path / "chat_template.jinja"
    own.write_text("{% if tools %}<|im_start|>{% endif %}")
    assert own_template(str(tmp_path)) == own.read_text()
    assert template_for(str(tmp_path)) == ""
    own.write_text("[INST]{{ messages[0].content }}")
    assert template_for(str(tmp_path)) == ""
