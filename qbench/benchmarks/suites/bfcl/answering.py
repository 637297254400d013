"""Right answers made from BFCL's lists of allowed values, and wrong ones made from those."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from msgspec.structs import replace

from qbench.benchmarks.suites.bfcl.values import LIST_KINDS, written
from qbench.benchmarks.suites.bfcl.verdicts import Called, Expected, described, right, wrong


def answer_of(expected: Expected) -> tuple[Called, ...] | None:
    """Return calls that are right; None where BFCL's own answer has no right value."""
    calls = tuple(_call(expected, *next(iter(wanted.items()))) for wanted in expected.calls)
    return calls if not wrong(expected, calls) else None


def _call(expected: Expected, name: str, allowed: dict[str, list[Any]]) -> Called:
    function = described(expected, name)
    declared, due = function["parameters"]["properties"], function["parameters"]["required"]
    arguments: dict[str, Any] = {}
    for parameter in allowed.keys() & declared.keys():
        fits = _values(declared[parameter], allowed[parameter], expected.language)
        for value in islice((value for value in fits if value != "" or parameter in due), 1):
            arguments[parameter] = value
    return Called(
        function["name"], {name: arguments[name] for name in allowed if name in arguments}
    )


def _values(declared: dict[str, Any], allowed: list[Any], language: str) -> Iterator[Any]:
    """Yield the values that are right, the plainest first."""
    choices = _choices(declared, allowed, language)
    return (value for value in choices if right(value, declared, allowed, language))


def _choices(declared: dict[str, Any], allowed: list[Any], language: str) -> Iterator[Any]:
    """Yield what an allowed value may look like; the empty text is a value of last resort."""
    for option in sorted(allowed, key=lambda option: option == ""):
        for value in _expanded(option):
            if language == "python":
                yield value
                continue
            kind = declared["type"]
            inner = declared["items"]["type"] if kind in LIST_KINDS[language] else ""
            yield from written(value, kind, inner, language)


def _expanded(option: Any) -> Iterator[Any]:
    """Yield the values that an allowed value stands for: maps list theirs key by key."""
    if isinstance(option, dict):
        full = {key: values for key, values in option.items() if _first(values) is not None}
        yield {key: _first(values) for key, values in full.items()}
        yield {key: _first(values) for key, values in full.items() if "" not in values}
    elif isinstance(option, list) and any(isinstance(item, dict) for item in option):
        yield [next(_expanded(item)) if isinstance(item, dict) else item for item in option]
    yield option


def _first(values: Any) -> Any:
    """Return the first allowed value that is more than "optional"."""
    given = values if isinstance(values, list) else [values]
    return next((value for value in given if value != ""), None)


def mistaken(expected: Expected, calls: tuple[Called, ...]) -> tuple[Called, ...]:
    """Return ``calls`` with the last one's arguments spoilt: plausible, and wrong."""
    *others, last = calls
    for name in last.arguments:
        changed = replace(last, arguments=last.arguments | {name: _other(last.arguments[name])})
        attempt = (*others, changed)
        if wrong(expected, attempt):
            return attempt
    return tuple(others)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value} instead" if isinstance(value, str) else []
