"""Family and Problem: a kind of programming problem, and one drawn from it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from string import Template
from typing import Any

from msgspec import Struct

Constants = dict[str, Any]
"""What a seed decides: numbers, words, rules. Each stands for its ``$name`` in the texts."""

FUNCTION = "f"
"""The constant that names the function; parameters are ``p`` and ``q``."""


class Family(Struct, frozen=True, kw_only=True):
    """A template of problems: texts with ``$constants``, and how constants and inputs are drawn.

    The reference is written twice; a slip is one replacement in it that a hurried author could
    have made, and that at least one hidden test catches.
    """

    key: str
    names: tuple[str, ...]
    """Function names to choose from, in snake case."""
    p: tuple[str, ...]
    """Names of the first parameter to choose from."""
    q: tuple[str, ...] = ()
    """Names of the second; empty where there is one parameter."""
    draw: Callable[[random.Random], Constants]
    inputs: Callable[[random.Random, Constants, int], Sequence[Any]]
    """Arguments of about the given size; size 0 is the edge case."""
    statement: str
    python: str
    javascript: str
    python_slip: tuple[str, str]
    javascript_slip: tuple[str, str]


class Problem(Struct, frozen=True, kw_only=True):
    """One problem, in one language."""

    family: str
    name: str
    statement: str
    signature: str
    reference: str
    slipped: str
    """The reference with its slip."""
    twin: str
    """The reference in Python, whatever the language: hidden tests are drawn from it."""
    slipped_twin: str
    constants: Constants
    words: Constants
    """What the texts were written with."""


def drawn_problem(family: Family, rng: random.Random, language: str) -> Problem:
    """Draw constants and write the texts with them."""
    constants = family.draw(rng)
    p, q = rng.choice(family.p), rng.choice(family.q or ("",))
    snake = rng.choice(family.names)
    name = snake if language == "python" else camel(snake)
    words = {FUNCTION: name, "p": p, "q": q}
    texts = {
        "python": (family.python, family.python_slip),
        "javascript": (family.javascript, family.javascript_slip),
    }
    told = _told(constants, language) | words
    reference, slipped = _both(*texts[language], told)
    twin, slipped_twin = _both(*texts["python"], _told(constants, "python") | words)
    return Problem(
        family=family.key,
        name=name,
        statement=filled(family.statement, _said(constants) | words),
        signature=f"{name}({', '.join(filter(None, (p, q)))})",
        reference=reference,
        slipped=slipped,
        twin=twin,
        slipped_twin=slipped_twin,
        constants=constants,
        words=told,
    )


def _both(source: str, slip: tuple[str, str], constants: Constants) -> tuple[str, str]:
    """Write the source as it is and with its slip."""
    assert slip[0] in source, f"a slip that is nowhere: {slip[0]}"
    return filled(source, constants), filled(source.replace(*slip), constants)


def filled(text: str, constants: Mapping[str, Any]) -> str:
    """Write the constants into a text. Raises KeyError for one that is not there."""
    return Template(text.strip("\n")).substitute(constants)


def camel(snake: str) -> str:
    """Write a name the way JavaScript does."""
    first, *rest = snake.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _told(constants: Constants, language: str) -> dict[str, Any]:
    """Write constants as source text; names that end in ``_python`` or ``_js`` are code."""
    suffix = "_python" if language == "python" else "_js"
    plain = {name: literal(value) for name, value in constants.items()}
    code = {name: value for name, value in constants.items() if name.endswith(("_python", "_js"))}
    chosen = {
        name.removesuffix(suffix): value for name, value in code.items() if name.endswith(suffix)
    }
    return plain | code | chosen


def _said(constants: Constants) -> dict[str, Any]:
    """Write constants as an English text has them."""
    return {name: _word(value) for name, value in constants.items()}


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_word, value))
    return str(value)


def literal(value: object) -> str:
    """Write a JSON value the way both languages read it."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)
