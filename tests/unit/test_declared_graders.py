"""Graders of declared suites: what passes, what fails, and what they cannot say."""

from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.suites.declared import graders, matscibench
from qbench.benchmarks.transcript import Transcript


def sample(answer: str, grader: dict[str, Any], **details: Any) -> Sample:
    return Sample(
        id="x/1",
        suite="x@1",
        task="x",
        level=1,
        family="1",
        prompt="?",
        answer=answer,
        details={"grader": grader} | details,
    )


def judged(one: Sample, reply: str) -> Score:
    return graders.score(one, Transcript(messages=(), turns=(), answer=reply))


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"kind": "exact"}, "New York", "So.\nAnswer: new  york.", "Answer: York"),
    ({"kind": "exact", "ignore_case": False}, "NaCl", "NaCl", "nacl"),
    ({"kind": "contains"}, "Ohm", "It is ohm's law.", "It is Hooke's law."),
    ({"kind": "regex"}, r"gr[ae]y", "Answer: Grey", "Answer: greyish"),
    ({"kind": "regex", "pattern": r"\d{4}-\d\d"}, "2020-01", "1999-12", "99-12"),
    ({"kind": "number"}, "1200", r"\boxed{1,200}", r"\boxed{1200.5}"),
    ({"kind": "number", "rules": ["last_number"]}, "18", "It makes 18 dollars.", "18 of 20"),
    ({"kind": "tolerance", "relative": 0.02}, "50", "Answer: 50.9 km", "Answer: 52 km"),
    ({"kind": "tolerance", "absolute": 0.5}, "-3", "Answer: x = -3.4", "Answer: 3"),
    ({"kind": "math"}, r"\frac{1}{2}", r"\boxed{0.5}", r"\boxed{2}"),
    ({"kind": "math"}, "x^2+2x+1", r"\boxed{(x+1)^2}", r"\boxed{(x-1)^2}"),
    ({"kind": "math"}, r"\left(3, \frac{\pi}{2}\right)", r"\boxed{(3,\pi/2)}", r"\boxed{(3,\pi)}"),
]


@pytest.mark.parametrize(("grader", "answer", "good", "bad"), CASES)
def test_a_grader_tells_right_from_wrong(
    grader: dict[str, Any], answer: str, good: str, bad: str
) -> None:
    one = sample(answer, grader)
    assert judged(one, good).passed
    wrong = judged(one, bad)
    assert not wrong.passed
    assert wrong.reason
    assert wrong.scorer == f"x@1:{grader['kind']}/1"


@pytest.mark.parametrize(("grader", "answer", "_good", "_bad"), CASES)
def test_made_replies_pass_and_fail(
    grader: dict[str, Any], answer: str, _good: str, _bad: str
) -> None:
    if grader["kind"] == "regex" and not grader.get("pattern"):
        return  # a pattern does not say what matches it
    one = sample(answer, grader)
    assert judged(one, graders.right_reply(one)).passed
    assert not judged(one, graders.wrong_reply(one)).passed


def test_choices_are_judged_by_their_letter() -> None:
    one = sample("C", {"kind": "choice"}, choices=["a", "b", "c"])
    assert judged(one, "It must be this.\nAnswer: (C)").passed
    assert not judged(one, "Answer: A").passed
    missed = judged(one, "I cannot say")
    assert missed.components["extraction.failed"] == 1.0
    assert judged(one, graders.right_reply(one)).passed
    assert not judged(one, graders.wrong_reply(one)).passed


def test_instructions_are_judged_all_together_with_the_four_accuracies() -> None:
    asked = ["punctuation:no_comma", "startend:quotation"]
    one = sample("", {"kind": "ifeval"}, instructions=asked, arguments=[{}, {"num_words": None}])
    half = judged(one, "no quotation here")
    assert (half.passed, half.components["ifeval.instruction_strict"]) == (False, 0.5)
    assert half.reason == "Not followed: startend:quotation."
    assert judged(one, graders.right_reply(one)).passed
    assert not judged(one, graders.wrong_reply(one)).passed


MATSCI = [
    ("120", "125", True),
    ("120", "127", False),
    ("-120", "120", False),
    ("0", "0.0", True),
    ("0", "0.01", False),
    ("1.2 \\times 10^{-3}", "0.00122", True),
    ("1.2 × 10⁻³", "1.2e-3", True),
    ("12,500", "12500", True),
    ("1.5, 3", "(1.55, 3.1)", True),
    ("1.5, 3", "3, 1.5", False),
    ("1.5, 3", "1.5", False),
    ("\\frac{1}{3}", "0.33", True),
    ("2 \\sqrt{3}", "3.5", True),
    ("5 \\text{ MPa}", "5.1", True),
    ("0.74", "74", False),
]


@pytest.mark.parametrize(("wanted", "given", "right"), MATSCI)
def test_the_rule_judge_of_matscibench(wanted: str, given: str, *, right: bool) -> None:
    one = sample(wanted, {"kind": "matscibench"}, type="NUM")
    assert judged(one, f"So it is $\\boxed{{{given}}}$.").passed is right
    assert not judged(one, f"So it is {given}.").passed


def test_formulas_are_unscored_without_a_judge() -> None:
    one = sample("E = mc^2", {"kind": "matscibench"}, type="FORMULA")
    assert judged(one, "\\boxed{E = mc^2}").status == "unscored"


def test_the_taxonomy_has_6_fields_and_31_subfields() -> None:
    assert len(matscibench.FIELDS) == 6
    assert sum(map(len, matscibench.FIELDS.values())) == 31


def test_a_reference_that_is_no_number_is_unscored_rather_than_wrong(tmp_path: Path) -> None:
    del tmp_path
    assert judged(sample("many", {"kind": "number"}), "Answer: 3").status == "unscored"
