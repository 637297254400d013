from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from qbench.benchmarks.chat import Message, Timing, TokenUsage, Turn
from qbench.benchmarks.scoring import radar
from qbench.benchmarks.suite import ReferenceCall, Sample
from qbench.benchmarks.transcript import CallFault, ToolRun, Transcript

SAMPLE = Sample(
    id="s",
    suite="toy",
    task="t",
    level=1,
    family="f",
    prompt="Add.",
    tools=("add", "mail"),
    answer="3",
    reference=(ReferenceCall(name="add", arguments={"a": 1}),),
)
FUZZY = Sample(
    id="s",
    suite="toy",
    task="t",
    level=1,
    family="f",
    prompt="Tell Ada.",
    tools=("add", "mail"),
    reference=(
        ReferenceCall(name="add", arguments={"a": 1}),
        ReferenceCall(name="mail", arguments={"to": "ada"}),
    ),
)
ERRORS = [number in (4, 7) for number in range(1, 11)]


def turn(usage: TokenUsage | None) -> Turn:
    timing = Timing(started_at=datetime(2026, 1, 1, tzinfo=UTC), e2el_s=1.0)
    message = Message(role="assistant", content="3")
    return Turn(message=message, finish_reason="stop", timing=timing, usage=usage)


USED = turn(TokenUsage(prompt_tokens=100, cached_tokens=50, completion_tokens=20))


def run(
    name: str = "add", arguments: dict[str, Any] | None = None, fault: CallFault = ""
) -> ToolRun:
    return ToolRun(turn=0, call_id="c", name=name, arguments=arguments, fault=fault)


def made(*runs: ToolRun, turns: tuple[Turn, ...] = (USED, USED)) -> Transcript:
    return Transcript(messages=(), turns=turns, tool_runs=runs, seconds=2.5)


def test_ten_calls_with_errors_at_the_fourth_and_seventh() -> None:
    assert radar.call_accuracy(ERRORS) == pytest.approx(0.8)
    assert radar.first_error(ERRORS) == 4
    assert radar.first_error_norm(ERRORS) == pytest.approx(0.3333, abs=1e-4)


def test_the_same_through_a_transcript() -> None:
    runs = [run(fault="tool_error" if wrong else "") for wrong in ERRORS]
    assert radar.dimensions(SAMPLE, made(*runs), passed=True) == {
        "radar1.ra": 1.0,
        "radar1.tcpa": pytest.approx(0.8),
        "radar1.fep": 4.0,
        "radar1.fep_norm": pytest.approx(3 / 9),
        "radar1.cre": 240.0,
        "radar1.rte": 2.5,
        "radar2.ra": 1.0,
        "radar2.cre": 240.0,
    }


def test_without_a_call_there_is_no_accuracy_of_calls_and_no_position() -> None:
    found = radar.dimensions(SAMPLE, made(), passed=False)
    assert found.keys().isdisjoint({"radar1.tcpa", "radar1.fep", "radar1.fep_norm"})
    assert (found["radar1.ra"], found["radar1.cre"]) == (0.0, 240.0)


def test_without_an_error_the_position_is_the_best() -> None:
    assert radar.first_error([False] * 3) is None
    assert radar.first_error_norm([False] * 3) == 1.0


@pytest.mark.parametrize(
    ("errors", "norm"), [([True], 0.0), ([True, False], 0.0), ([False, True], 1.0)]
)
def test_positions_at_the_ends(errors: list[bool], norm: float) -> None:
    assert radar.first_error_norm(errors) == norm


def test_unknown_tokens_are_absent_and_not_zero() -> None:
    found = radar.dimensions(SAMPLE, made(turns=(USED, turn(None))), passed=True)
    assert found.keys().isdisjoint({"radar1.cre", "radar2.cre"})
    assert "radar1.cre" not in radar.dimensions(SAMPLE, made(turns=()), passed=False)


def test_version_two_judges_a_fuzzy_sample_by_its_last_sound_call() -> None:
    right, wrong = run("mail", {"to": "ada"}), run("mail", {"to": "bob"})
    broken = run("mail", {"to": "bob"}, "tool_error")
    assert radar.accurate(FUZZY, [right], passed=False)
    assert radar.accurate(FUZZY, [wrong, right, broken], passed=False)
    assert not radar.accurate(FUZZY, [right, wrong], passed=True)
    assert not radar.accurate(FUZZY, [], passed=True)
    truth = run("mail", {"to": True})
    one = replace(FUZZY, reference=(ReferenceCall(name="mail", arguments={"to": 1}),))
    assert not radar.accurate(one, [truth], passed=True)
    assert radar.accurate(SAMPLE, [], passed=True)


def test_version_two_counts_successful_calls_per_turn() -> None:
    runs = [run(), run(fault="tool_error"), run("mail")]
    assert radar.turn_success(FUZZY, made(*runs, turns=(USED,) * 4)) == 2 / 4
    assert radar.turn_success(FUZZY, made(*runs, turns=(USED,))) == 1.0
    assert radar.turn_success(FUZZY, made()) == 0.0
    assert radar.turn_success(SAMPLE, made(*runs)) is None
    assert radar.turn_success(FUZZY, made(turns=())) is None


def test_relative_and_min_max_scales() -> None:
    assert [radar.relative(100, actual) for actual in (50, 100, 400)] == [1.0, 1.0, 0.25]
    assert radar.min_max([1, 3, 2], higher_is_better=True) == [0.0, 1.0, 0.5]
    assert radar.min_max([1, 3, 2], higher_is_better=False) == [1.0, 0.0, 0.5]
    assert radar.min_max([2, 2], higher_is_better=True) == [1.0, 1.0]


@given(st.lists(st.booleans(), min_size=1))
def test_dimensions_lie_between_zero_and_one(errors: list[bool]) -> None:
    accuracy, norm = radar.call_accuracy(errors), radar.first_error_norm(errors)
    assert accuracy is not None
    assert norm is not None
    assert 0 <= accuracy <= 1
    assert 0 <= norm <= 1
    assert (accuracy == 1) == (radar.first_error(errors) is None)
