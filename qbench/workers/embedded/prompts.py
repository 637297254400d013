"""From messages to prompt tokens, and from a reply's text to tool calls.

A model whose chat template has no tool section gets one: tools in the system message, calls in
``<tool_call>`` tags as Hermes and Qwen write them, results in ``<tool_response>`` tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from transformers import PreTrainedTokenizerFast

OPEN, CLOSE = "<tool_call>", "</tool_call>"
Json = dict[str, Any]

TEMPLATE = """\
{%- set ns = namespace(system='') -%}
{%- if messages[0]['role'] == 'system' -%}
{%- set ns.system = messages[0]['content'] -%}
{%- set messages = messages[1:] -%}
{%- endif -%}
<|im_start|>system
{{ ns.system or 'You are a helpful AI assistant.' }}
{%- if tools %}

You can call these functions:
{% for tool in tools -%}
{{ tool.signature }}
{% endfor -%}
To call one, write <tool_call>
{"name": ..., "arguments": {...}}
</tool_call>
{%- endif %}<|im_end|>
{% for message in messages -%}
{%- if message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else -%}
<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] -%}
{%- if message.content or not loop.first %}
{% endif -%}
<tool_call>
{{ {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
</tool_call>
{%- endfor -%}
<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""
"""ChatML with a tool section, for models whose own template has none."""


class Reply(Struct, frozen=True, kw_only=True):
    """A generated text taken apart."""

    content: str
    calls: tuple[tuple[str, str], ...] = ()
    """Names and argument texts."""


class Prompts:
    """Writes prompts for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        own = str(tokenizer.chat_template or "")
        self.own_tools = "tools" in own
        """Whether the model's own template knows tools."""
        self._template = own if self.own_tools else TEMPLATE
        self.call_prefix = f"{OPEN}\n" if OPEN in self._template else ""
        """What stands before a call's JSON."""

    def encode(self, messages: Sequence[Json], tools: Sequence[Json], *, forced: bool) -> list[int]:
        """Return prompt tokens; a forced call's prefix is part of the prompt.

        Raises:
            ValueError: the template refuses these messages.

        """
        text: Any = self._tokenizer.apply_chat_template(
            [_readable(message) for message in messages],
            tools=[dict(tool) | {"signature": signature(tool["function"])} for tool in tools]
            or None,
            chat_template=self._template if tools or not self._tokenizer.chat_template else None,
            add_generation_prompt=True,
            tokenize=False,
        )
        whole = f"{text}{self.call_prefix if forced else ''}"
        tokens: list[int] = self._tokenizer.encode(whole, add_special_tokens=False)
        return tokens


def signature(function: Json) -> str:
    """Write a tool as one line, ``name(argument: type, ...): description``."""
    properties = function.get("parameters", {}).get("properties", {})
    arguments = ", ".join(f"{name}: {_kind(schema)}" for name, schema in properties.items())
    return f"{function['name']}({arguments}): {function.get('description', '')}"


def _kind(schema: Json) -> str:
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    return str(schema.get("type", "any"))


def _readable(message: Json) -> Json:
    """Give templates what they expect: text content, and arguments as objects."""
    made = dict(message) | {"content": _text(message.get("content"))}
    if calls := message.get("tool_calls"):
        made["tool_calls"] = [_readable_call(call) for call in calls]
    return made


def _readable_call(call: Json) -> Json:
    function = dict(call["function"])
    try:
        function["arguments"] = json.loads(function.get("arguments") or "{}")
    except (TypeError, ValueError):
        function["arguments"] = {}
    return dict(call) | {"function": function}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


TAGGED = re.compile(rf"{OPEN}\s*(.*?)\s*(?:{CLOSE}|\Z)", re.DOTALL)


def read_reply(text: str, *, tools: bool) -> Reply:
    """Take the calls out of a reply; what cannot be read as a call stays in the content."""
    if not tools or OPEN not in text:
        return Reply(content=text)
    calls: list[tuple[str, str]] = []
    rest = TAGGED.sub(lambda found: "" if _read(found[1], calls) else found[0], text)
    return Reply(content=rest.strip() if calls else rest, calls=tuple(calls))


def read_call(text: str) -> tuple[str, str] | None:
    """Read ``{"name": ..., "arguments": {...}}``; None when it is something else."""
    calls: list[tuple[str, str]] = []
    return calls[0] if _read(text, calls) else None


def _read(text: str, calls: list[tuple[str, str]]) -> bool:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return False
    given = found.get("arguments", found.get("parameters", {}))
    arguments = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    calls.append((found["name"], arguments))
    return True
