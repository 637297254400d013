"""Values made of a row's columns: templates, regular expressions, maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from qbench.benchmarks.suites.declared.definition import Value, Written
from qbench.benchmarks.suites.declared.rows import BadRow, Row

FIELD = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
"""A column's name in braces; doubled braces stand for themselves."""
CHOICES = "choices"
"""In a prompt: the lettered choices, unless a column has that name and no choices are declared."""


def made(row: Row, written: Written, more: Mapping[str, str] | None = None) -> str:
    """Make a value; ``more`` are names beside the columns. Raises BadRow."""
    value = Value(text=written) if isinstance(written, str) else written
    text = _filled(row, value.text, more or {})
    if value.find:
        text = _found(row, value, text)
    if value.map:
        text = _mapped(row, value, text)
    return text


def _filled(row: Row, template: str, more: Mapping[str, str]) -> str:
    if "{" not in template and "}" not in template:
        return cell(row, template)

    lines = template.split("\n")
    kept = [line for line in lines if len(lines) == 1 or not _empty(row, line, more)]
    return FIELD.sub(lambda match: _put(row, match, more), "\n".join(kept))


def _put(row: Row, match: re.Match[str], more: Mapping[str, str]) -> str:
    if match[1] is None:
        return match[0][0]
    return more[match[1]] if match[1] in more else cell(row, match[1])


def _empty(row: Row, line: str, more: Mapping[str, str]) -> bool:
    """Whether a line of a template names columns and all of them are empty: it is left out."""
    named = [name for name in FIELD.findall(line) if name]
    return bool(named) and all(name not in more and raw(row, name) in (None, "") for name in named)


def _found(row: Row, value: Value, text: str) -> str:
    match = re.search(value.find, text)
    if match is None:
        raise BadRow(f"{row.where}: {value.find!r} matches nothing in {text[-60:]!r}")
    return (match[1] if match.re.groups else match[0]).strip()


def _mapped(row: Row, value: Value, text: str) -> str:
    found = value.map.get(text, value.otherwise)
    if found is None:
        raise BadRow(f"{row.where}: {text!r} is not among {', '.join(value.map)}")
    return str(found)


def cell(row: Row, name: str) -> str:
    """Return a column's value as text. Raises BadRow when it is missing or empty."""
    found = raw(row, name)
    if found is None:
        raise BadRow(f"{row.where}: the column {name!r} is empty")
    if isinstance(found, bytes):
        raise BadRow(f"{row.where}: the column {name!r} holds bytes, no text")
    if isinstance(found, float) and found.is_integer():
        return str(int(found))
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


def raw(row: Row, name: str) -> Any:
    """Return a column's value as it is. Raises BadRow, which lists the columns that there are."""
    if name not in row.cells:
        there = ", ".join(map(str, row.cells))
        raise BadRow(f"{row.where}: there is no column {name!r}; there are: {there}")
    return row.cells[name]


def listed(row: Row, name: str) -> list[str]:
    """Return a column that holds a list of texts, or its JSON. Raises BadRow."""
    found = raw(row, name)
    if isinstance(found, str):
        try:
            found = msgspec.json.decode(found)
        except msgspec.DecodeError:
            found = None
    if not isinstance(found, list) or not found:
        raise BadRow(f"{row.where}: the column {name!r} holds no list")
    return [str(one) for one in found]
