"""Tool calls that a text visibly holds, in whatever dialect: what a parser ought to have seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

MARKER = re.compile(
    r"<[|\uff5c]?/?(?:\w+:)?(?:tool|function|invoke|python_tag|start_function_call)[^>]{0,40}>"
    r"|<function=|\[TOOL_CALLS\]|functools\[|to=functions\."
)
"""What begins a call in some family's dialect: Hermes, Qwen, Llama, Mistral, DeepSeek, GLM, …"""

NEAR = 120
"""Characters between a marker and the tool's name."""

_AFTER_NAME = r"(?:\s|['\"]|\[ARGS\]|>|:\d+|<[^>{]{0,40}>|```json)*"


class Visible(Struct, frozen=True, kw_only=True):
    """One well-formed call in a text."""

    name: str
    marked: bool
    """Announced as a call; else it is only a JSON object or an expression that looks like one."""


def visible_calls(text: str, names: Sequence[str]) -> list[Visible]:
    """Find well-formed calls of the tools ``names`` in ``text``.

    Well-formed: the name of a tool with an object of arguments, XML parameters, or arguments in
    parentheses. What is broken off or mangled is the model's fault and is not found.
    """
    found = [*_objects(text, names), *_spelled(text, names)]
    unique = {(place, call.name): call for place, call in sorted(found, key=lambda one: one[0])}
    return list(unique.values())


def _objects(text: str, names: Sequence[str]) -> Iterator[tuple[int, Visible]]:
    """Find ``{"name": ..., "arguments": {...}}``, in lists too."""
    decoder, place = json.JSONDecoder(), 0
    while (place := text.find("{", place)) >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        if name := _named(value, names):
            yield place, Visible(name=name, marked=_marked(text, place))
        place = end


def _named(value: Any, names: Sequence[str]) -> str:
    if not isinstance(value, dict):
        return ""
    value = value.get("function") if isinstance(value.get("function"), dict) else value
    arguments = value.get("arguments", value.get("parameters"))
    name = value.get("name")
    return name if name in names and isinstance(arguments, dict) else ""


def _marked(text: str, place: int) -> bool:
    before = text[max(0, place - NEAR) : place]
    marks = list(MARKER.finditer(before))
    return bool(marks) and not marks[-1][0].startswith("</")


def _spelled(text: str, names: Sequence[str]) -> Iterator[tuple[int, Visible]]:
    """Find a name followed by its arguments: an object, XML parameters, or parentheses."""
    for name in names:
        for found in re.finditer(rf"(?:(?<![\w.-])|(?<=functions\.)){re.escape(name)}(?!\w)", text):
            marked = _marked(text, found.start())
            rest = text[found.end() :]
            if marked and (_has_object(rest) or _has_parameters(rest)):
                yield found.start(), Visible(name=name, marked=True)
            elif re.match(r"\(\s*\w+\s*=.*?\)\s*[\],]", rest, re.DOTALL):
                inside = text[: found.start()].rstrip().endswith(("[", ","))
                if inside:
                    yield found.start(), Visible(name=name, marked=marked)


def _has_object(rest: str) -> bool:
    start = re.match(_AFTER_NAME, rest)
    try:
        value, _ = json.JSONDecoder().raw_decode(rest, start.end() if start else 0)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _has_parameters(rest: str) -> bool:
    return bool(re.match(r"[\"']?\s*>?\s*<(?:parameter|arg_key)\b", rest))
