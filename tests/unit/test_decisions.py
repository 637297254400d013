from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from qbench.benchmarks.scoring import decisions
from qbench.benchmarks.suite import ReferenceCall, Sample
from qbench.benchmarks.transcript import CallFault, ToolRun, Transcript

SAMPLE = Sample(
    id="s",
    suite="toy",
    task="t",
    level=1,
    family="f",
    prompt="Book A, then tell Ada.",
    tools=("find", "book", "mail"),
    world="office",
    end_state={"booked": ["A"]},
    reference=(
        ReferenceCall(name="book", arguments={"room": "A", "hours": 2}),
        ReferenceCall(name="mail", arguments={"to": "ada"}),
    ),
)
IDLE = replace(SAMPLE, reference=())


def run(name: str, arguments: dict[str, Any] | None = None, fault: CallFault = "") -> ToolRun:
    return ToolRun(turn=0, call_id="c", name=name, arguments=arguments, fault=fault)


BOOK = run("book", {"hours": 2.0, "room": "A"})
MAIL = run("mail", {"to": "ada"})
FIND = run("find", {"day": "Monday"})
UNREAD = run("", None, "invalid_json")


def parts(
    *runs: ToolRun, sample: Sample = SAMPLE, passed: bool = False, **end: Any
) -> dict[str, float]:
    made = Transcript(messages=(), turns=(), tool_runs=runs, end_state=end or None)
    found = decisions.decompose(sample, made, passed=passed)
    return {name.removeprefix("decision."): value for name, value in found.items()}


def test_a_perfect_attempt() -> None:
    assert parts(BOOK, MAIL, passed=True, booked=["A"]) == {
        "call": 1.0,
        "parse": 1.0,
        "tool": 1.0,
        "tool_precision": 1.0,
        "arguments": 1.0,
        "state": 1.0,
        "wasted": 0.0,
    }


def test_a_worked_example() -> None:
    """Four calls: a search, an unreadable one, a booking of the wrong room, the mail."""
    wrong = run("book", {"room": "B", "hours": 2})
    assert parts(FIND, UNREAD, wrong, MAIL, booked=["B"]) == {
        "call": 1.0,
        "parse": 3 / 4,
        "tool": 1.0,
        "tool_precision": 2 / 4,
        "arguments": 1 / 2,
        "recovery": 0.0,
        "state": 0.0,
        "wasted": 2 / 4,
    }


def test_nothing_called_where_something_was_due() -> None:
    assert parts() == {"call": 0.0, "tool": 0.0}


def test_nothing_called_where_nothing_was_due() -> None:
    assert parts(sample=IDLE, passed=True) == {"call": 1.0}


def test_something_called_where_nothing_was_due() -> None:
    assert parts(FIND, sample=IDLE) == {
        "call": 0.0,
        "parse": 1.0,
        "tool_precision": 0.0,
        "wasted": 1.0,
    }


def test_without_tools_there_is_nothing_to_decide() -> None:
    assert parts(sample=replace(SAMPLE, tools=())) == {}


@pytest.mark.parametrize("choice", ["none", "required"])
def test_a_forced_choice_is_no_decision(choice: Any) -> None:
    assert "call" not in parts(BOOK, sample=replace(SAMPLE, tool_choice=choice))


def test_an_unreadable_call_counts_as_a_call() -> None:
    assert parts(UNREAD) == {
        "call": 1.0,
        "parse": 0.0,
        "tool": 0.0,
        "tool_precision": 0.0,
        "recovery": 0.0,
        "wasted": 0.0,
    }


@pytest.mark.parametrize(
    "fault", ["unknown_tool", "invalid_json", "invalid_arguments", "tool_error", "refused"]
)
def test_recovery_is_passing_after_any_fault(fault: CallFault) -> None:
    assert parts(run("book", {}, fault), BOOK, passed=True)["recovery"] == 1.0
    assert parts(run("book", {}, fault), BOOK)["recovery"] == 0.0


def test_tools_are_counted_as_often_as_they_are_due() -> None:
    assert parts(BOOK, BOOK)["tool"] == 1 / 2
    assert parts(BOOK, BOOK)["tool_precision"] == 1 / 2
    twice = replace(SAMPLE, reference=SAMPLE.reference * 2)
    assert parts(BOOK, BOOK, sample=twice)["tool"] == 2 / 4


@pytest.mark.parametrize(
    ("arguments", "equal"),
    [
        ({"room": "A", "hours": 2}, True),
        ({"hours": 2.0, "room": "A"}, True),
        ({"room": "A", "hours": "2"}, False),
        ({"room": "A", "hours": True}, False),
        ({"room": "A"}, False),
        ({"room": "A", "hours": 2, "note": None}, False),
    ],
)
def test_arguments_are_equal_as_json_values(arguments: dict[str, Any], equal: bool) -> None:
    assert parts(run("book", arguments))["arguments"] == float(equal)


def test_an_unread_end_state_is_no_wrong_one() -> None:
    assert "state" not in parts(BOOK)
    assert "state" not in parts(BOOK, sample=replace(SAMPLE, end_state=None), booked=[])
