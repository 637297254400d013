from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.benchmarks.chat import Message
from qbench.errors import ConfigError, NotFound
from qbench.workers.engines.behaviours import (
    BEHAVIOURS,
    FAULTS,
    Asked,
    ScriptedTurn,
    arithmetic,
    behaviour,
    completion_tokens,
    faulty,
    prompt_tokens,
    seeded,
    sums,
)


def ask(prompt: str, *, tools: tuple[str, ...] = (), seed: int | None = None) -> Asked:
    return Asked(messages=(Message(role="user", content=prompt),), tools=tools, seed=seed)


def conversation(prompt: str, *replies: str) -> Asked:
    said = tuple(Message(role="assistant", content=text) for text in replies)
    return Asked(messages=(Message(role="user", content=prompt), *said))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("What is 17 + 25?", 42),
        ("Compute 3 * (4 - 10).", -18),
        ("7 \u00d7 6", 42),
        ("-3 - -4", 1),
        ("Example: 1 + 1 = 2. Now: 20 - 5 =", 15),
        ("no numbers", None),
        ("only 42", None),
        ("2 ** 999999999", None),
        ("((((1 + ", None),
    ],
)
def test_the_last_sum_of_a_text_is_computed(text: str, value: int | None) -> None:
    assert arithmetic(text) == value


@given(st.text(alphabet="0123456789+-*() .", max_size=60))
def test_arithmetic_never_fails_on_any_text(text: str) -> None:
    found = arithmetic(text)
    assert found is None or isinstance(found, int)


@given(a=st.integers(0, 10**6), b=st.integers(0, 10**6))
def test_a_perfect_model_is_right_and_a_hopeless_one_never(a: int, b: int) -> None:
    asked = ask(f"What is {a} + {b}?")
    assert sums(1.0, seeded(0))(asked).say == str(a + b)
    assert sums(0.0, seeded(0))(asked).say != str(a + b)


def test_accuracy_is_met_and_failures_of_a_better_model_are_failures_of_a_worse_one() -> None:
    asked = [ask(f"{n} + {n + 1}") for n in range(2000)]
    better, worse = sums(0.8, seeded(5)), sums(0.6, seeded(5))
    right = [better(a).say == str(arithmetic(a.prompt)) for a in asked]
    lesser = [worse(a).say == str(arithmetic(a.prompt)) for a in asked]
    assert abs(sum(right) / 2000 - 0.8) < 0.03  # 3.4 standard errors; the draw is fixed
    assert abs(sum(lesser) / 2000 - 0.6) < 0.03
    assert all(good or not bad for good, bad in zip(right, lesser, strict=True))


def test_epochs_differ_by_the_seed_of_the_request_only() -> None:
    model = sums(0.5, seeded(0))
    again = [model(ask("2 + 2", seed=1)).say for _ in range(5)]
    assert len(set(again)) == 1
    assert len({model(ask("2 + 2", seed=seed)).say for seed in range(50)}) > 1


def test_draws_are_the_same_on_any_machine() -> None:
    assert seeded(1)("sum", "2 + 2", None) == 0.8533934615548003


@given(st.integers(), st.text())
def test_a_draw_is_a_share_of_one(seed: int, what: str) -> None:
    assert 0.0 <= seeded(seed)(what) < 1.0


def test_built_in_behaviours_answer_what_their_names_say() -> None:
    assert BEHAVIOURS["echo"](ask("hello")).say == "hello"
    assert BEHAVIOURS["empty"](ask("hello")).message == Message(role="assistant")
    assert BEHAVIOURS["truncated"](ask("hello")).finish_reason == "length"
    assert BEHAVIOURS["unknown_tool"](ask("x")).message.tool_calls[0].name == "no_such_tool"
    assert len(BEHAVIOURS["megabytes"](ask("x")).say) > 2_000_000
    call = BEHAVIOURS["invalid_json_call"](ask("x", tools=("add",))).message.tool_calls[0]
    assert call.name == "add"
    with pytest.raises(json.JSONDecodeError):
        json.loads(call.arguments)
    for fault in FAULTS:
        assert BEHAVIOURS[fault](ask("x")).fault == fault


def test_a_turn_with_calls_is_a_message_with_calls() -> None:
    turn = ScriptedTurn(calls=(("add", {"a": 1}), ("note", "raw text"), ("now", None)))
    assert [(c.id, c.name, c.arguments) for c in turn.message.tool_calls] == [
        ("call_0", "add", '{"a":1}'),
        ("call_1", "note", "raw text"),
        ("call_2", "now", "{}"),
    ]
    assert turn.finish_reason == "tool_calls"


SCRIPT: dict[str, Any] = {
    "hi": [{"say": "first"}, {"call": "add", "arguments": {"a": 1}}, {"say": "last"}],
    "*": [{"say": "other"}],
}


def test_a_script_answers_by_prompt_and_turn_and_stays_at_its_last_turn() -> None:
    script = behaviour(SCRIPT)
    assert script(conversation("hi")).say == "first"
    assert script(conversation("hi", "first")).call == "add"
    assert script(conversation("hi", "first", "")).say == "last"
    assert script(conversation("hi", "first", "", "last")).say == "last"
    assert script(conversation("what?")).say == "other"


def test_a_prompt_that_is_not_scripted_is_an_error_that_says_how_to_add_it() -> None:
    with pytest.raises(ConfigError, match=r"no turns for the prompt 'bye'.*\"\*\" entry"):
        behaviour({"hi": [{"say": "x"}]})(conversation("bye"))


def test_scripts_come_from_yaml_and_json_files(tmp_path: Path) -> None:
    as_yaml, as_json = tmp_path / "s.yaml", tmp_path / "s.json"
    as_yaml.write_text('hi:\n  - say: first\n"*":\n  - fault: http_500\n')
    as_json.write_text(json.dumps(SCRIPT))
    assert behaviour(as_yaml)(conversation("hi")).say == "first"
    assert behaviour(str(as_yaml))(conversation("bye")).fault == "http_500"
    assert behaviour(as_json)(conversation("hi")).say == "first"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hi: [{shout: x}]", "shout"),
        ("hi: []", "has no turns"),
        ("- just\n- a list\n", "not a mapping of prompts"),
        ("hi: [{fault: rain}]", "rain"),
        ("hi: [", "cannot be read"),
    ],
)
def test_a_wrong_script_is_refused_by_what_is_wrong(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=re.escape(said)):
        behaviour(path)


def test_names_that_do_not_exist_are_answered_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Did you mean echo"):
        behaviour("ecko")
    with pytest.raises(NotFound, match="http_500"):
        faulty(BEHAVIOURS["echo"], {"http_501": 0.1}, seeded(0))
    with pytest.raises(ConfigError, match="cannot be read"):
        behaviour(tmp_path / "absent.yaml")


def test_faults_come_at_their_rates_and_a_repeated_request_is_drawn_anew() -> None:
    model = faulty(BEHAVIOURS["echo"], {"http_500": 0.2, "disconnect": 0.1}, seeded(3))
    faults = [model(ask("same")).fault for _ in range(3000)]
    assert abs(faults.count("http_500") / 3000 - 0.2) < 0.025
    assert abs(faults.count("disconnect") / 3000 - 0.1) < 0.02
    assert faults.count(None) > 1900


@given(st.builds(ScriptedTurn, say=st.text(), think=st.text()), st.text())
def test_token_counts_are_positive_and_those_told_are_kept(turn: ScriptedTurn, text: str) -> None:
    assert prompt_tokens(turn, ask(text)) >= 1
    assert completion_tokens(turn) >= 1
    told = ScriptedTurn(prompt_tokens=7, completion_tokens=0)
    assert (prompt_tokens(told, ask(text)), completion_tokens(told)) == (7, 0)
