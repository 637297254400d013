"""BFCL's rules for the calls of one reply, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from qbench.benchmarks.suites.bfcl.answering import answer_of, mistaken
from qbench.benchmarks.suites.bfcl.verdicts import Called, Expected, fitting, wrong


def expected(
    kind: str, allowed: list[Any], *, inner: str = "", language: str = "python"
) -> Expected:
    declared = {"type": kind, "items": {"type": inner}} if inner else {"type": kind}
    more = {"type": {"python": "string"}.get(language, "String")}
    parameters = {"properties": {"x": declared, "note": more}, "required": ["x"]}
    function = {"name": "f.g", "parameters": parameters}
    return Expected(
        functions=(function,),
        calls=({"f.g": {"x": allowed, "note": ["", "Hi"]}},),
        language=language,
    )


def passes(asked: Expected, **arguments: Any) -> bool:
    return not wrong(asked, [Called("f.g", arguments)])


@pytest.mark.parametrize(
    ("kind", "allowed", "given", "right"),
    [
        ("integer", [5], 5, True),
        ("integer", [5], 5.0, False),
        ("integer", [5], True, False),
        ("integer", [5], "5", False),
        ("float", [5], 5, True),
        ("float", [5.5], "5.5", False),
        ("boolean", [True], 1, False),
        ("string", ["New York, NY"], "new-york NY.", True),
        ("string", ["it's"], 'it"s', True),
        ("string", ["New York"], "Newark", False),
        ("any", [7], 7, True),
        ("dict", [{"a": [1], "b": ["", 2]}], {"a": 1}, True),
        ("dict", [{"a": [1], "b": ["", 2]}], {"b": 2}, False),
        ("dict", [{"a": [1]}], {"a": 1, "c": 1}, False),
        ("dict", [{"a": ["X y"]}], {"a": "xy"}, True),
        ("dict", ["config"], "config", True),
        ("dict", ["config"], "Config", False),
    ],
)
def test_a_value_needs_the_declared_type_and_to_be_allowed(
    kind: str, allowed: list[Any], given: Any, right: bool
) -> None:
    assert passes(expected(kind, allowed), x=given) is right


@pytest.mark.parametrize(
    ("inner", "allowed", "given", "right"),
    [
        ("integer", [[1, 2]], [1, 2], True),
        ("integer", [[1, 2]], [2, 1], False),
        ("integer", [[1, 2], [2, 1]], [2, 1], True),
        ("float", [[1.0]], [1], False),
        ("float", [[1]], [1], True),
        ("string", [["A b"]], ["ab"], True),
        ("string", [["", "a"]], [3], False),
        ("string", ["names"], "names", True),
        ("string", [["a"], ""], [], True),
        ("dict", [[{"k": [1]}, {"k": [2]}]], [{"k": 1}, {"k": 2}], True),
        ("dict", [[{"k": [1]}, {"k": [2]}]], [{"k": 2}, {"k": 1}], False),
        ("dict", [[{"k": [1]}]], [{"k": 1}, {"k": 1}], False),
    ],
)
def test_lists_are_compared_item_by_item(
    inner: str, allowed: list[Any], given: Any, right: bool
) -> None:
    assert passes(expected("array", allowed, inner=inner), x=given) is right


def test_only_parameters_marked_optional_may_be_left_out() -> None:
    asked = expected("integer", [5])
    assert passes(asked, x=5, note="hi")
    assert not passes(asked, note="hi")
    assert "not due" in wrong(asked, [Called("f.g", {"x": 5, "y": 1})])
    must = Expected(functions=asked.functions, calls=({"f.g": {"x": [5], "note": ["Hi"]}},))
    assert "not optional" in wrong(must, [Called("f.g", {"x": 5})])


def test_the_name_is_compared_to_the_letter() -> None:
    assert "was called, not f.g" in wrong(expected("integer", [5]), [Called("f_g", {"x": 5})])


def test_parallel_calls_may_come_in_any_order_but_not_be_too_few_or_too_many() -> None:
    one = expected("integer", [5])
    both = Expected(functions=one.functions, calls=(*one.calls, {"f.g": {"x": [6], "note": [""]}}))
    five, six = Called("f.g", {"x": 5}), Called("f.g", {"x": 6})
    assert wrong(both, [six, five]) == ""
    assert wrong(both, [five]) == "1 calls were made where 2 were due."
    assert wrong(both, [five, five])
    assert fitting(both, [five, five]) == fitting(both, [six]) == 1


def test_a_made_answer_is_right_and_a_mistaken_one_is_not() -> None:
    asked = expected("array", [[{"k": ["a", "b"], "l": ["", 3]}]], inner="dict")
    made = answer_of(asked)
    assert made == (Called("f.g", {"x": [{"k": "a", "l": 3}], "note": "Hi"}),)
    assert wrong(asked, mistaken(asked, made))


def test_there_is_no_answer_where_no_value_is_allowed() -> None:
    assert answer_of(expected("array", [], inner="string")) is None


def test_java_values_are_source_text() -> None:
    asked = expected("long", [7], language="java")
    assert passes(asked, x="7L")
    assert not passes(asked, x="7")
    assert not passes(asked, x=7)
    assert answer_of(asked) == (Called("f.g", {"x": "7L", "note": "Hi"}),)
