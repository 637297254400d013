"""Whether an answer to a generated question is right; pure, without the generators' package.

The generators' own verification is used where several answers are right, in a process under
limits (``gym_judge``). Where one is right, it is compared here: many of the package's checks give
credit to any text or to one that contains the answer, some run the answer as code, and one
takes numbers that are off by one.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import msgspec

from qbench.benchmarks.scoring.answers import Grade
from qbench.benchmarks.scoring.limited import Limited, Stopped
from qbench.benchmarks.scoring.plain_numbers import equal, read
from qbench.benchmarks.suites.reasoning.generators import BY_NAME
from qbench.errors import ConfigError

LONGEST = 20_000
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:/\d+)?")
_FORMULA = re.compile(r"[A-Za-z\d+\-*/(), .]{1,400}")
_NAMES = frozenset(
    "sqrt sin cos tan sec csc cot asin acos atan sinh cosh tanh asinh acosh atanh exp log ln Abs "
    "pi".split()
)
_LARGE = re.compile(r"\d{13,}|\*\*\s*[-( ]*\d{3,}|\*\*[-( ]*\d+[) ]*\*\*|\.\s*[A-Za-z]")
_OWN = Limited("qbench.benchmarks.suites.reasoning.gym_judge:judge", seconds=20.0)


def grade(details: dict[str, Any], given: str) -> Grade:
    """Judge ``given``, an extracted answer, by the check that ``details`` names."""
    if len(given) > LONGEST:
        return Grade(verdict="wrong", how="refused", reason="The answer is too long to be one.")
    entry, check = details["entry"], details["check"]
    if check in ("own", "formula"):
        return _own(details, given, formula=check == "formula")
    how = {"text": _text, "json": _json, "among": _among, "arithmetic": _arithmetic}
    if check in how:
        return _graded(how[check](entry, given), entry, given)
    within = BY_NAME[details["generator"]].within
    return _graded(_close(entry["answer"], given, check, within), entry, given)


def _graded(right: bool, entry: dict[str, Any], given: str) -> Grade:
    if right:
        return Grade(verdict="right", how="text")
    reason = f"{given[:60]!r} is not right; {entry['answer'][:60]!r} is."
    return Grade(verdict="wrong", how="text", reason=reason)


def _text(entry: dict[str, Any], given: str) -> bool:
    numbers = (read(entry["answer"]), read(given))
    if numbers[0] is not None and numbers[1] is not None:
        return equal(numbers[0], numbers[1])
    return _plain(entry["answer"]) == _plain(given)


def _plain(text: str) -> str:
    return " ".join(text.split()).strip("`").casefold().removesuffix(".")


def _json(entry: dict[str, Any], given: str) -> bool:
    try:
        wanted, found = (_decoded(text) for text in (entry["answer"], given))
    except (msgspec.DecodeError, RecursionError):
        return False
    return bool(wanted == found)


def _decoded(text: str) -> object:
    """Read JSON or Python's spelling of a list of strings; numbers as text are numbers."""
    value: object = msgspec.json.decode(text.replace("'", '"'))
    if isinstance(value, list):
        return [_number(part) for part in value]
    return value


def _number(part: object) -> object:
    known = read(part) if isinstance(part, str) else None
    return part if known is None else float(known.value)


def _among(entry: dict[str, Any], given: str) -> bool:
    return _plain(given) in {_plain(one) for one in entry["metadata"]["valid_answers"]}


def _close(wanted: str, given: str, check: str, within: float) -> bool:
    """Compare number by number; a text without the same count of numbers is wrong."""
    pairs = [[_value(part) for part in _NUMBER.findall(text)] for text in (wanted, given)]
    if len(pairs[0]) != len(pairs[1]) or len(given) > 4 * len(wanted) + 40:
        return False
    if check == "last_place":
        within = 10.0 ** -len(wanted.partition(".")[2])
    allowed = Fraction(within) + Fraction(1, 10**12)
    return all(
        one is not None and other is not None and abs(one - other) <= allowed
        for one, other in zip(*pairs, strict=True)
    )


def _value(part: str) -> Fraction | None:
    number = read(part)
    return None if number is None else number.value


def _arithmetic(entry: dict[str, Any], given: str) -> bool:
    """Whether ``given`` uses exactly the numbers and comes to the target (24 where none is)."""
    known = entry["metadata"]
    text = given.replace("×", "*").replace("÷", "/").strip()
    if len(text) > 200 or not re.fullmatch(r"[\d+\-*/() ]+", text) or "**" in text or "//" in text:
        return False
    if Counter(map(int, re.findall(r"\d+", text))) != Counter(known["numbers"]):
        return False
    try:
        return _worth(ast.parse(text, mode="eval").body) == Fraction(known.get("target", 24))
    except (SyntaxError, ZeroDivisionError, TypeError, RecursionError, MemoryError):
        return False


_SIGNS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda one, other: one + other,
    ast.Sub: lambda one, other: one - other,
    ast.Mult: lambda one, other: one * other,
    ast.Div: lambda one, other: one / other,
}


def _worth(node: ast.expr) -> Fraction:
    """Work out an expression of the four operations exactly. Raises TypeError for others."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_worth(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_worth(node.left), _worth(node.right))
    raise TypeError


def _own(details: dict[str, Any], given: str, *, formula: bool) -> Grade:
    if formula and not is_formula(given):
        return Grade(verdict="wrong", how="refused", reason="The answer is not a formula.")
    if find_spec("reasoning_gym") is None:
        raise ConfigError(
            "The answers of this suite are checked by reasoning-gym.",
            hint="pip install 'qbench[suites]'",
        )
    asked = {name: details[name] for name in ("generator", "settings", "entry")}
    try:
        value = float(_OWN(asked | {"given": given}))
    except Stopped as stopped:
        return Grade(verdict="undecided", how="verified", reason=str(stopped))
    if value >= 1.0:
        return Grade(verdict="right", how="verified")
    partial = value if BY_NAME[details["generator"]].partial else 0.0
    reason = f"The generator's check rejects {given[:60]!r}."
    return Grade(verdict="wrong", how="verified", reason=reason, partial=partial)


def is_formula(text: str) -> bool:
    """Whether ``text`` may be evaluated: known functions, single letters, numbers and signs."""
    words = re.findall(r"[A-Za-z]+", text)
    known = all(len(word) == 1 or word in _NAMES for word in words)
    return known and bool(_FORMULA.fullmatch(text)) and not _LARGE.search(text)
