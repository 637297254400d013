"""Tool use in plain text, for models and endpoints without native tool calls.

The tools stand in the system prompt as JSON, one per line. The model calls one by writing::

    <tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>

and reads the results in the next user message, one block per call and in their order::

    <tool_response>3</tool_response>

This is the convention of the Hermes and Qwen chat templates, so that models trained on those
recognise it. Reading is lenient about the wrapping (a missing end tag, code fences, a bare
object without tags, ``parameters`` for ``arguments``, arguments as a string) and strict about
the content: a block that is not JSON with a name is an attempted call that could not be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from qbench.benchmarks.chat import Message, ToolCall, ToolChoice, ToolSpec

OPEN, CLOSE = "<tool_call>", "</tool_call>"
RESPONSE_OPEN, RESPONSE_CLOSE = "<tool_response>", "</tool_response>"
_DECODER = json.JSONDecoder(strict=False)  # newlines inside strings are the commonest slip
_NAME = re.compile(r'"name"\s*:\s*"([^"\n]{1,128})"')


class Reading(Struct, frozen=True, kw_only=True):
    """What a reply says, taken apart."""

    text: str
    """What stands outside the call blocks."""
    calls: tuple[ToolCall, ...]
    """In order. One that could not be read has an empty or guessed name, and the block as its
    ``arguments``, which then is not a JSON object with that meaning."""


def instructions(specs: Sequence[ToolSpec], tool_choice: ToolChoice) -> str:
    """Describe the tools and the way to call them, for the end of a system prompt."""
    lines = [msgspec.json.encode(spec).decode() for spec in specs]
    must = "You must call a tool before you answer." if tool_choice == "required" else ""
    return "\n".join(
        [
            "You can call tools. The tools, one JSON object per line:",
            *lines,
            "To call a tool, write a block like this and nothing after it:",
            f'{OPEN}{{"name": "tool", "arguments": {{"argument": "value"}}}}{CLOSE}',
            f"The result comes back between {RESPONSE_OPEN} and {RESPONSE_CLOSE}.",
            *([must] if must else []),
        ]
    )


def write_call(call: ToolCall) -> str:
    """Write ``call`` as a block."""
    return f'{OPEN}{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}{CLOSE}'


def write_results(results: Iterable[str]) -> Message:
    """Put the results of one turn's calls into one user message."""
    blocks = (f"{RESPONSE_OPEN}{result}{RESPONSE_CLOSE}" for result in results)
    return Message(role="user", content="\n".join(blocks))


def as_text(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Rewrite native calls and results as text; results that follow each other share a message."""
    written: list[Message] = []
    results: list[str] = []
    for message in messages:
        if message.role == "tool":
            results.append(message.content)
            continue
        if results:
            written.append(write_results(results))
            results = []
        written.append(_without_calls(message))
    if results:
        written.append(write_results(results))
    return tuple(written)


def _without_calls(message: Message) -> Message:
    if not message.tool_calls:
        return message
    parts = [message.content] if message.content else []
    parts += [write_call(call) for call in message.tool_calls]
    return Message(role=message.role, content="\n".join(parts))


def read_reply(text: str, *, id_prefix: str) -> Reading:
    """Take a reply apart into its text and its calls, whose ids are ``id_prefix`` and a number.

    Linear in the length of ``text``; never raises.
    """
    if OPEN not in text:
        return _read_bare(text, id_prefix)
    head, *rest = text.split(OPEN)
    outside, calls = [head], []
    for part in rest:
        block, _, after = part.partition(CLOSE)
        invented = block.find(RESPONSE_OPEN)  # a model that went on to invent the result
        calls += _read_block(block if invented < 0 else block[:invented])
        outside.append(after.partition(RESPONSE_OPEN)[0])
    named = tuple(
        ToolCall(id=f"{id_prefix}{number}", name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(calls)
    )
    return Reading(text="".join(outside).strip(), calls=named)


def _read_bare(text: str, id_prefix: str) -> Reading:
    """Accept a reply that is nothing but a call, without its tags."""
    inner = _unfenced(text)
    if inner.startswith("{") and '"name"' in inner and inner.endswith("}"):
        value = _decode(inner)
        call = _call_of(value)
        if call and isinstance(value, dict) and not value.keys().isdisjoint(_ARGUMENT_KEYS):
            made = ToolCall(id=f"{id_prefix}0", name=call[0], arguments=call[1])
            return Reading(text="", calls=(made,))
    return Reading(text=text.strip(), calls=())


_ARGUMENT_KEYS = ("arguments", "parameters", "function")


def _read_block(block: str) -> list[tuple[str, str]]:
    """Read the calls of one block as (name, arguments) pairs."""
    inner = _unfenced(block)
    value = _decode(inner)
    if value is None:
        guess = _NAME.search(inner)
        return [(guess[1] if guess else "", inner)]
    calls = [_call_of(item) for item in (value if isinstance(value, list) else [value])]
    return [call or ("", inner) for call in calls] or [("", inner)]


def _decode(text: str) -> Any:
    """Return the JSON value that ``text`` starts with, or None."""
    try:
        return _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def _call_of(value: Any) -> tuple[str, str] | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    arguments = value.get("arguments", value.get("parameters"))
    if arguments is None:
        return value["name"], "{}"
    return value["name"], arguments if isinstance(arguments, str) else _encode(arguments)


def _encode(value: Any) -> str:
    """Write ``value`` as JSON; what is nested too deeply becomes a text that is no JSON."""
    try:
        return json.dumps(value)
    except RecursionError:
        return "nested too deeply"


def _unfenced(text: str) -> str:
    """Remove white space and one Markdown code fence around ``text``."""
    text = text.strip()
    if not text.startswith("```"):
        return text
    _, _, text = text.partition("\n")
    return text.removesuffix("```").strip()
