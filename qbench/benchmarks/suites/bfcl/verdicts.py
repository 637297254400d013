"""The verdict on the calls of one reply, by the rules of BFCL's checker of syntax trees.

An answer lists, for every parameter of every expected call, the values that are right; an empty
string among them makes the parameter optional. A value must have the declared type, or the type
of the allowed values when those are names of variables. Texts are compared without case, spaces
and ``,./-_*^``. The rules are those of bfcl-eval 2026.3.23, its looseness included; agreement is
measured by ``scripts/bfcl_agreement.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from qbench.benchmarks.suites.bfcl.values import LIST_KINDS, read_value

Allowed = Mapping[str, Sequence[Any]]
"""Of one expected call: the right values of each parameter."""

TYPES: dict[str, dict[str, type]] = {
    "python": {
        "string": str,
        "integer": int,
        "float": float,
        "boolean": bool,
        "array": list,
        "tuple": list,
        "dict": dict,
        "any": str,
    },
    "java": {
        **dict.fromkeys(("byte", "short", "integer", "long"), int),
        **dict.fromkeys(("float", "double"), float),
        **dict.fromkeys(("Array", "ArrayList", "Queue", "Stack"), list),
        **dict.fromkeys(("HashMap", "Hashtable"), dict),
        **dict.fromkeys(("char", "String", "any"), str),
        "boolean": bool,
        "Set": set,
    },
    "javascript": {
        **dict.fromkeys(("integer", "Bigint"), int),
        **dict.fromkeys(("String", "any"), str),
        "float": float,
        "Boolean": bool,
        "dict": dict,
        "array": list,
    },
}
_IGNORED = str.maketrans({**dict.fromkeys(" ,./-_*^"), "'": '"'})


class Called(Struct, frozen=True):
    """A call that a model made, under the function's own name."""

    name: str
    arguments: dict[str, Any]


class Expected(Struct, frozen=True, kw_only=True):
    """What one reply should call, and the functions it may choose from."""

    functions: tuple[dict[str, Any], ...]
    """As BFCL describes them: ``name``, ``parameters`` with ``properties`` and ``required``."""
    calls: tuple[dict[str, dict[str, list[Any]]], ...]
    """One mapping of the function's name to its ``Allowed`` for each expected call."""
    language: str = "python"
    ordered: bool = False
    """One call of the first function is expected, whatever the answer calls it."""


def wrong(expected: Expected, calls: Sequence[Called]) -> str:
    """Say in a sentence what is wrong with ``calls``; empty when nothing is.

    The calls may come in any order; each expected call takes the first one left that fits it.
    """
    if len(calls) != len(expected.calls):
        return f"{len(calls)} calls were made where {len(expected.calls)} were due."
    left = list(calls)
    for wanted in expected.calls:
        faults = _taken(expected, wanted, left)
        if faults:
            name = next(iter(wanted))
            return faults[0] if len(faults) == 1 else f"No call fits the expected {name}."
    return ""


def fitting(expected: Expected, calls: Sequence[Called]) -> int:
    """Return how many of the expected calls were made, whatever else was."""
    left = list(calls)
    return sum(not _taken(expected, wanted, left) for wanted in expected.calls if left)


def _taken(
    expected: Expected, wanted: dict[str, dict[str, list[Any]]], left: list[Called]
) -> list[str]:
    """Take the first call that fits out of ``left``, or return what is wrong with each."""
    name, allowed = next(iter(wanted.items()))
    function = described(expected, name)
    faults = [fault_of(function, call, allowed, expected.language) for call in left]
    if "" not in faults:
        return faults
    left.pop(faults.index(""))
    return []


def described(expected: Expected, name: str) -> dict[str, Any]:
    """Return the description of a function that an answer expects."""
    if expected.ordered:
        return expected.functions[0]
    return next(function for function in expected.functions if function["name"] == name)


def fault_of(function: dict[str, Any], call: Called, allowed: Allowed, language: str) -> str:
    """Say what is wrong with ``call`` of ``function``; empty when nothing is."""
    if call.name != function["name"]:
        return f"{call.name} was called, not {function['name']}."
    declared = function["parameters"]["properties"]
    for name in function["parameters"]["required"]:
        if name not in call.arguments:
            return f"The required {name} is missing."
    for name, value in call.arguments.items():
        if name not in declared or name not in allowed:
            return f"{name} was given where it is not due."
        if not right(value, declared[name], allowed[name], language):
            return f"The value of {name} is wrong: {value!r}."
    for name, values in allowed.items():
        if name not in call.arguments and "" not in values:
            return f"{name} is missing and not optional here."
    return ""


def right(value: Any, declared: dict[str, Any], allowed: Sequence[Any], language: str) -> bool:
    """Say whether ``value`` is right for a parameter: of the right type, and an allowed value."""
    kind = declared["type"]
    inner = declared["items"]["type"] if kind in LIST_KINDS[language] else ""
    if language != "python":
        if not isinstance(value, str):
            return False
        value = read_value(value, kind, inner, language)
    elif kind == "float" and type(value) is int:
        value = float(value)
    wanted = TYPES[language][kind]
    element = TYPES[language][inner] if inner else None
    if not _fits(value, allowed, wanted, element):
        return False
    if _type_of(allowed) not in (None, wanted):  # the right values are names of variables
        return value in allowed
    return _equal(value, allowed, wanted, element)


def _fits(value: Any, allowed: Sequence[Any], wanted: type, element: type | None) -> bool:
    """Say whether ``value`` is of the wanted type or of that of the allowed values."""
    kind = type(value)
    if kind is not wanted:
        return kind is _type_of(allowed)
    if element is None:
        return True
    return any(
        not isinstance(option, list) or all(_fits(item, option, element, None) for item in value)
        for option in allowed
    )


def _type_of(allowed: Sequence[Any]) -> type | None:
    """Return the type of the first allowed value that is more than "optional"."""
    return next((type(value) for value in allowed if value != ""), None)


def _equal(value: Any, allowed: Sequence[Any], wanted: type, element: type | None) -> bool:
    """Say whether ``value`` is an allowed one, each type in its own way."""
    kind = type(value)
    if kind is not wanted:  # of the type of the allowed values
        return value in allowed
    if isinstance(value, dict):
        return any(_same_map(value, option) for option in allowed if option != "")
    if isinstance(value, list):
        if element is dict:
            return any(_same_maps(value, option) for option in allowed)
        return any(_same_list(value, option) for option in allowed)
    return plain(value) in [plain(option) for option in allowed]


def plain(value: Any) -> Any:
    """Return a text without case, spaces and some marks; anything else as it is."""
    return value.translate(_IGNORED).lower() if isinstance(value, str) else value


def _same_list(value: list[Any], option: Any) -> bool:
    """Compare item by item; the empty text, which is "optional", counts as an empty list."""
    if not isinstance(option, (list, str)):
        return False
    return [plain(item) for item in value] == [plain(item) for item in option]


def _same_map(value: Any, option: Any) -> bool:
    """Compare a map with a map of allowed values, one level deep."""
    if not isinstance(value, dict) or not isinstance(option, dict):
        return False
    given = all(key in option and _among(item, option[key]) for key, item in value.items())
    return given and all(key in value or _optional(values) for key, values in option.items())


def _optional(values: Any) -> bool:
    return isinstance(values, (list, str)) and "" in values


def _among(item: Any, values: Any) -> bool:
    return plain(item) in [plain(one) for one in values] if isinstance(values, list) else False


def _same_maps(value: list[Any], option: Any) -> bool:
    if not isinstance(option, (list, str)) or len(value) != len(option):
        return False
    return all(_same_map(*pair) for pair in zip(value, option, strict=True))
