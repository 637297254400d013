from __future__ import annotations

from typing import Any

import pytest

from qbench.benchmarks.agent.calls import Checked, check_call
from qbench.benchmarks.chat import ToolCall, ToolSpec
from qbench.errors import ToolServerError


def spec(name: str, parameters: dict[str, Any]) -> ToolSpec:
    return ToolSpec(name=name, description="", parameters=parameters)


BOOK = spec(
    "book_room",
    {
        "type": "object",
        "properties": {
            "room": {"type": "string", "enum": ["A", "B"]},
            "hours": {"$ref": "#/$defs/hours"},
            "guests": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["room"],
        "additionalProperties": False,
        "$defs": {"hours": {"type": "integer", "minimum": 1}},
    },
)
SPECS = {"book_room": BOOK, "cancel_room": spec("cancel_room", {"type": "object"})}


def check(name: str, arguments: str) -> Checked:
    return check_call(ToolCall(id="c", name=name, arguments=arguments), SPECS)


def test_a_well_formed_call_may_be_run() -> None:
    arguments = {"room": "A", "hours": 2, "guests": ["x"]}
    assert check("book_room", '{"room": "A", "hours": 2, "guests": ["x"]}') == Checked(
        arguments=arguments
    )


@pytest.mark.parametrize("written", ["", "{}"])
def test_nothing_written_is_an_empty_object(written: str) -> None:
    assert check("cancel_room", written) == Checked(arguments={})


@pytest.mark.parametrize("written", ["{", "[]", "3", '"{}"', "{'room': 'A'}", "null", "{} {}"])
def test_what_is_no_json_object_cannot_be_read(written: str) -> None:
    checked = check("book_room", written)
    assert (checked.fault, checked.arguments) == ("invalid_json", None)
    assert "book_room" in checked.complaint


def test_a_call_without_a_name_cannot_be_read() -> None:
    checked = check("", "{}")
    assert checked.fault == "invalid_json"
    assert '{"name": ..., "arguments": {...}}' in checked.complaint


@pytest.mark.parametrize("levels", [65, 950, 100_000])
def test_arguments_nested_too_deeply_to_be_stored_cannot_be_read(levels: int) -> None:
    assert check("cancel_room", '{"a":' + "[" * levels + "]" * levels + "}").fault == "invalid_json"


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert check("cancel_room", '{"a":[' + ",".join(["[[]]"] * 500) + "]}").fault == ""


def test_an_unknown_tool_is_told_the_close_names() -> None:
    checked = check("bookroom", "{}")
    assert (checked.fault, checked.arguments) == ("unknown_tool", {})
    assert checked.complaint == (
        "Error: There is no tool named 'bookroom'. Did you mean book_room?"
    )


def test_an_unknown_tool_without_a_close_name_is_told_all() -> None:
    assert "Known: book_room, cancel_room." in check("zzz", "{}").complaint


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{}", "'room' is a required property"),
        ('{"room": "C"}', "in 'room': 'C' is not one of ['A', 'B']"),
        ('{"room": "A", "hours": 0}', "in 'hours': 0 is less than the minimum of 1"),
        ('{"room": "A", "guests": ["x", 1]}', "in 'guests' in 1: 1 is not of type 'string'"),
        ('{"room": "A", "size": 1}', "Additional properties are not allowed"),
    ],
)
def test_a_complaint_says_where_and_what(written: str, said: str) -> None:
    checked = check("book_room", written)
    assert checked.fault == "invalid_arguments"
    assert checked.arguments is not None
    assert said in checked.complaint


def test_a_complaint_about_a_long_value_is_short() -> None:
    assert len(check("book_room", f'{{"room": "{"x" * 9000}"}}').complaint) < 600


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "obj"},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "https://example.invalid/schema.json"}}},
    ],
)
def test_a_broken_schema_is_the_server_s_fault_and_nothing_is_fetched(
    parameters: dict[str, Any],
) -> None:
    call = ToolCall(id="c", name="t", arguments='{"a": 1}')
    with pytest.raises(ToolServerError, match="no JSON Schema"):
        check_call(call, {"t": spec("t", parameters)})
