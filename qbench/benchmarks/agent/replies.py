"""What a model wrote, made safe to keep and to send back."""

from __future__ import annotations

import re

from msgspec.structs import replace

from qbench.benchmarks.chat import Message, ToolCall

KEPT = 65_536
"""Characters of one text that are kept; a model in a loop writes megabytes."""
CALLS = 32
"""Tool calls of one reply that are kept."""
_THINK, _UNTHINK = "<think>", "</think>"
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9_-]")


def clean(text: str) -> str:
    """Cut ``text`` to ``KEPT`` characters, saying so, and replace what databases cannot store.

    Lone surrogates (from escapes in JSON) and NUL become U+FFFD and ``?``.
    """
    if len(text) > KEPT:
        text = f"{text[:KEPT]}\n[{len(text) - KEPT} characters cut]"
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\ufffd") if "\0" in text else text


def clean_message(message: Message) -> Message:
    """Clean all texts of ``message`` and move thinking from its content to its reasoning."""
    content, thinking = split_thinking(clean(message.content))
    calls = clean_calls(message.tool_calls)
    reasoning = "\n".join(part for part in (clean(message.reasoning), thinking) if part)
    if (content, calls, reasoning) == (message.content, message.tool_calls, message.reasoning):
        return message
    return replace(message, content=content, tool_calls=calls, reasoning=reasoning)


def clean_calls(calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Keep the first ``CALLS`` of one reply's calls, with their texts cleaned."""
    return tuple(
        ToolCall(id=clean(call.id), name=clean(call.name)[:256], arguments=clean(call.arguments))
        for call in calls[:CALLS]
    )


def split_thinking(text: str) -> tuple[str, str]:
    """Split ``text`` into what is meant for the reader and what was thought before it.

    Knows ``<think>...</think>``, a block that was never closed at the start of the text, and
    a ``</think>`` whose start the chat template had put into the prompt.
    """
    if _THINK not in text and _UNTHINK not in text:
        return text, ""
    first, end = text.find(_THINK), text.find(_UNTHINK)
    if end >= 0 and (first < 0 or end < first):
        text, first = _THINK + text, 0
    visible, thoughts, position = [], [], 0
    while (start := text.find(_THINK, position)) >= 0:
        close = text.find(_UNTHINK, start)
        if close < 0 and text[position:start].strip():
            break  # the word itself, in the middle of an answer
        close = len(text) if close < 0 else close
        visible.append(text[position:start])
        thoughts.append(text[start + len(_THINK) : close].strip())
        position = close + len(_UNTHINK)
    visible.append(text[position:])
    return "".join(visible).strip(), "\n".join(thoughts)


def to_send(message: Message, *, unreadable: frozenset[str], known: frozenset[str]) -> Message:
    """Return ``message`` as it may go into the next request.

    Thinking stays out. Endpoints answer HTTP 400 to a history whose call arguments are not JSON
    (vLLM's chat templates parse them) or whose names have other characters than OpenAI allows:
    a model's fault would become a failure of the infrastructure. So arguments of the calls whose
    ids are ``unreadable`` become ``{}`` and names outside ``known`` are rewritten; the transcript's
    turns keep the originals.
    """
    if not message.tool_calls:
        return replace(message, reasoning="") if message.reasoning else message
    calls = tuple(
        ToolCall(
            id=call.id,
            name=call.name if call.name in known else _safe_name(call.name),
            arguments="{}" if call.id in unreadable else call.arguments,
        )
        for call in message.tool_calls
    )
    return Message(role=message.role, content=message.content, tool_calls=calls)


def _safe_name(name: str) -> str:
    return _UNSAFE_NAME.sub("_", name)[:64] or "unknown"
