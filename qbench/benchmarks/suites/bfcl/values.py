"""Java and JavaScript values: read from source text as BFCL reads them, and written back.

In those two languages a model gives every argument as a string of source text. What a text means
is decided by the declared type alone, with BFCL's rules (read off its version 2026.3.23): a text
that does not have the form of its type stays a string, and so fails the type rule later. Some of
the rules are odd and kept, because a verdict hangs on them: the elements of a Java ``Array`` of
``String`` keep their quotes, a Java ``float`` needs its ``f`` and a ``long`` its ``L``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

Read = Callable[[str], Any]

LIST_KINDS = {
    "python": ("array", "tuple"),
    "java": ("Array", "ArrayList"),
    "javascript": ("array",),
}
"""Declared types whose elements have a type of their own, by language."""

_WHOLE = re.compile(r"-?\d+$")
_LONG = re.compile(r"(-?\d+)[lL]$")
_FLOAT = re.compile(r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)[fF]$")
_DOUBLE = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$")
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?$")
_BIGINT = re.compile(r"(-?\d+)n$")


def read_value(text: str, kind: str, inner: str, language: str) -> Any:
    """Return what ``text`` means as a ``kind`` (of ``inner``, for lists) of ``language``."""
    if language == "java":
        return _java_list(text, kind, inner) if kind in LIST_KINDS["java"] else _java(text, kind)
    return _script_list(text, inner) if kind in LIST_KINDS["javascript"] else _script(text, kind)


def _number(pattern: re.Pattern[str], make: Callable[[str], Any]) -> Read:
    """Return a reader of texts that ``pattern`` matches; others stay as they are."""

    def read(text: str) -> Any:
        found = pattern.match(text)
        return make(found[found.re.groups]) if found else text

    return read


def _truth(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _bare(text: str) -> str:
    """Take off one pair of equal quotes."""
    quoted = any(text.startswith(mark) and text.endswith(mark) for mark in "\"'")
    return text[1:-1] if quoted else text


def _guess(text: str) -> Any:
    """Read a number without knowing its type; text when it is none."""
    for make in (int, float):
        try:
            return make(text)
        except ValueError:
            continue
    return text


# Java


def _java(text: str, kind: str) -> Any:
    return _java_map(text) if kind == "HashMap" else _JAVA.get(kind, str)(text)


_JAVA: dict[str, Read] = {
    "byte": _number(_WHOLE, int),
    "short": _number(_WHOLE, int),
    "integer": _number(_WHOLE, int),
    "long": _number(_LONG, int),
    "float": _number(_FLOAT, float),
    "double": _number(_DOUBLE, float),
    "boolean": _truth,
}


def _java_list(text: str, kind: str, inner: str) -> Any:
    if kind == "Array":
        found = re.search(r"new\s+\w+\[\]\s*\{(.*?)\}", text)
        items = [part.strip() for part in found[1].split(",")] if found else []
        return [_java(item, inner) for item in items if item] if found else text
    added = _added(text)
    if added is None:
        return [] if re.search(r"new\s+ArrayList<\w*>\(\)", text) else text
    unquoted = inner in ("char", "String")
    return [item[1:-1] if unquoted else _java(item, inner) for item in added]


def _added(text: str) -> list[str] | None:
    """Return the texts of an ArrayList's elements; None for an empty one or no ArrayList."""
    whole = re.search(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)", text)
    if whole:
        return [part.strip() for part in whole[1].split(",")]
    block = re.search(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*(.+?)\s*\}\}", text, re.DOTALL)
    return [part.strip() for part in re.findall(r"add\((.+?)\)", block[1])] if block else None


def _java_map(text: str) -> Any:
    new = r"new\s+HashMap<.*?>\s*\(\)"
    block = re.search(new + r"\s*\{\s*\{?\s*(.*?)\s*\}?\s*\}", text, re.DOTALL)
    if block:
        pairs = re.findall(r"put\(\"(.*?)\",\s*(.*?)\)", block[1])
        return {key: _java_guess(value.strip()) for key, value in pairs}
    return {} if re.search(new, text) else text


def _java_guess(text: str) -> Any:
    """Read the value of a map, whose type is not declared."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    for kind in ("long", "float"):
        value = _JAVA[kind](text)
        if value is not text:
            return value
    return _guess(text)


# JavaScript


def _script(text: str, kind: str) -> Any:
    if kind == "array":
        return _script_list(text, "")
    return _script_map(text) if kind == "dict" else _SCRIPT.get(kind, str)(text)


_SCRIPT: dict[str, Read] = {
    "String": _bare,
    "integer": _number(_WHOLE, int),
    "float": _number(_DECIMAL, float),
    "Bigint": _number(_BIGINT, int),
    "Boolean": _truth,
}


def _script_list(text: str, inner: str) -> Any:
    """Read ``[...]`` or ``new Array(...)``; a list of lists guesses the types of its elements."""
    code = text.strip()
    row = r"\[\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\]"
    rows = r"\bnew\s+Array\(\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\)"
    table = re.match(f"{row}|{rows}", code)
    if table:
        found = [part.strip().removeprefix("[") for part in re.findall(r"\[(.*?)\]", table[0])]
        return [[_script_guess(part) for part in line.split(",")] for line in found]
    line = re.match(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)", code)
    if not line:
        return code
    inside = (line[1] if line[1] is not None else line[2]).strip()
    parts = [part.strip() for part in inside.split(",")] if inside else []
    return [_script(part, inner) if inner else _script_guess(part) for part in parts]


def _script_map(text: str) -> Any:
    """Read ``{...}``; the values are guessed, without their quotes."""
    code = text.strip()
    block = re.match(r"\{(.*?)\}", code)
    if code == "{}" or not block:
        return {} if code == "{}" else code
    pairs = re.findall(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)", block[1])
    return {key.strip().strip("'\""): _script_part(value.strip()) for key, value in pairs}


def _script_part(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return _script_list(text, "")
    if text.startswith("{") and text.endswith("}"):
        return _script_map(text)
    return _script_guess(text.strip("'\""))


def _script_guess(text: str) -> Any:
    code = text.strip()
    if code in ("true", "false"):
        return code == "true"
    bare = _bare(code)
    return _guess(code) if bare is code else bare


# Writing


def written(value: Any, kind: str, inner: str, language: str) -> list[str]:
    """Return ways to write ``value`` as source text, the most natural first.

    Not all of them are read back as the same value: the caller keeps the first one that is.
    """
    if isinstance(value, str):
        return [value, json.dumps(value)]
    if isinstance(value, list):
        quoted = ", ".join(_plain(item, inner, language, quoted=True) for item in value)
        bare = ", ".join(_plain(item, inner, language, quoted=False) for item in value)
        return [frame.format(items) for items in (quoted, bare) for frame in _frames(kind)]
    if isinstance(value, dict):
        return [_map(value, language)]
    return [_plain(value, kind, language, quoted=True)]


def _frames(kind: str) -> Sequence[str]:
    return {
        "Array": ("new String[]{{{}}}",),
        "ArrayList": ("new ArrayList<>(Arrays.asList({}))",),
    }.get(kind, ("[{}]",))


def _plain(value: Any, kind: str, language: str, *, quoted: bool) -> str:
    """Write a value that is no list and no map."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if quoted else value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_plain(item, '', language, quoted=quoted) for item in value)}]"
    if kind in ("float", "double"):
        value = float(value)
    mark = {"java": {"long": "L", "float": "f"}, "javascript": {"Bigint": "n"}}[language]
    return f"{value}{mark.get(kind, '')}"


def _map(value: dict[str, Any], language: str) -> str:
    pairs = {key: _plain(item, "", language, quoted=True) for key, item in value.items()}
    if language == "java":
        puts = " ".join(f'put("{key}", {item});' for key, item in pairs.items())
        return f"new HashMap<String, Object>() {{{{ {puts} }}}}" if puts else "new HashMap<>()"
    return "{" + ", ".join(f'"{key}": {item}' for key, item in pairs.items()) + "}"
