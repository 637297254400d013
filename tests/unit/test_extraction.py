"""Final answers are taken out by the declared rule, or not at all."""

import time
from collections.abc import Sequence

import pytest

from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.answers import Grade, score_answer
from qbench.benchmarks.scoring.extraction import Rule, as_letter, extract, parts
from qbench.benchmarks.transcript import Stop, Transcript


def said(answer: str, stop: Stop = "answered") -> Transcript:
    return Transcript(
        messages=(Message(role="assistant", content=answer),), turns=(), answer=answer, stop=stop
    )


def is_four(text: str) -> Grade:
    return Grade(verdict="right" if text == "4" else "wrong", how="text", reason="Not 4.")


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        ("boxed", r"So \boxed{4}.", "4"),
        ("boxed", r"\boxed{1} no, \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("boxed", r"\fbox{4} \boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("boxed", r"\boxed{4} and \boxed{5", "4"),
        ("boxed", r"\boxed{", None),
        ("boxed", r"\boxed{}", None),
        ("boxed", "4", None),
        ("tag", "<answer>\n4\n</answer>", "4"),
        ("tag", "<answer>3</answer> <ANSWER>4</ANSWER>", "4"),
        ("tag", "I write <answer> first: <answer>4</answer>", "4"),
        ("tag", "<answer>4", None),
        ("line", "2+2\n**Answer:** 4", "4"),
        ("line", "Final answer: 4\nThat was easy.", "4"),
        ("line", "The answer: is 4", None),
        ("line", "answer:", None),
        ("last_line", "3\n\n 4 \n\n", "4"),
        ("last_line", " \n", None),
        ("last_number", "2 + 2 = 4, as 1,234.50 shows.", "1,234.50"),
        ("last_number", "x = -3.", "-3"),
        ("last_number", "5-3", "3"),
        ("last_number", "about 1.5e-3", "1.5e-3"),
        ("last_number", "none at all", None),
        ("choice", "The answer is (C).", "C"),
        ("choice", "A is wrong.\n**B**", "B"),
        ("choice", "Answer: D because", None),
        ("choice", "The answer is A bit unclear", None),
        ("choice", "Both A and B", None),
    ],
)
def test_each_rule_takes_what_it_says(rule: Rule, text: str, found: str | None) -> None:
    taken = extract(text, [rule])
    assert (taken.text if taken else None) == found


def test_the_first_rule_that_matches_counts_and_is_named() -> None:
    rules: Sequence[Rule] = ("boxed", "last_line")
    boxed, lined = extract("\\boxed{4}\n5", rules), extract("5", rules)
    assert boxed is not None
    assert lined is not None
    assert (boxed.text, boxed.rule, lined.text, lined.rule) == ("4", "boxed", "5", "last_line")
    assert parts(lined, rules) == {
        "extraction.failed": 0.0,
        "extraction.boxed": 0.0,
        "extraction.last_line": 1.0,
    }


@pytest.mark.parametrize(
    ("text", "letter"),
    [("(C)", "C"), ("c.", "C"), (r"\text{B}", "B"), ("A: the cat", "A"), ("E", ""), ("Cat", "")],
)
def test_a_letter_is_read_among_those_offered(text: str, letter: str) -> None:
    assert as_letter(text, "ABCD") == letter


def test_a_failed_extraction_is_told_apart_from_a_wrong_answer() -> None:
    none = score_answer(said("four"), ["boxed"], is_four, scorer="t/1")
    wrong = score_answer(said(r"\boxed{5}"), ["boxed"], is_four, scorer="t/1")
    right = score_answer(said(r"\boxed{4}"), ["boxed"], is_four, scorer="t/1")
    assert (none.status, none.passed, none.components["extraction.failed"]) == ("scored", False, 1)
    assert none.reason.startswith("No final answer was found")
    assert (wrong.passed, wrong.reason, wrong.components["extraction.failed"]) == (
        False,
        "Not 4.",
        0,
    )
    assert (right.passed, right.value) == (True, 1.0)


def test_a_cut_reply_says_so_and_an_undecided_one_is_no_verdict() -> None:
    cut = score_answer(said("4 and", stop="length"), ["boxed"], is_four, scorer="t/1")
    assert cut.reason.endswith("The reply was cut.")
    open_ = Grade(verdict="undecided", how="symbols", reason="Too slow.")
    score = score_answer(said("4"), ["last_line"], lambda _text: open_, scorer="t/1")
    assert (score.status, score.reason) == ("unscored", "Too slow.")


@pytest.mark.parametrize(
    "text",
    [
        *("\\boxed{" * 20_000, "<answer>" * 20_000, "{" * 100_000, "1," * 50_000),
        *("answer is " * 9_000, "1" * 100_000, "(" * 100_000),
        *("Answer:" + " *" * 40_000, "\\boxed" + " " * 90_000),
    ],
)
def test_hostile_texts_are_read_within_a_second(text: str) -> None:
    for rule in ("boxed", "tag", "line", "last_line", "last_number", "choice"):
        began = time.process_time()
        extract(text, [rule])
        assert time.process_time() - began < 1.0, rule
