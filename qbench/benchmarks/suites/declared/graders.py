"""The graders of declared suites: judge a reply, and make replies that pass and fail.

All they need stands in the sample (``answer`` and ``details``), so that a stored transcript can
be judged again after the file has changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from qbench.benchmarks.scoring.answers import Grade, score_answer
from qbench.benchmarks.scoring.extraction import Rule, as_letter, extract
from qbench.benchmarks.scoring.math_answers import grade_math
from qbench.benchmarks.scoring.plain_numbers import EXACT, PlainNumber, Tolerance, equal, read
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.suites.declared import instructed, matscibench
from qbench.benchmarks.suites.declared.definition import Grader, Kind
from qbench.benchmarks.transcript import Transcript

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Judge = Callable[[Sample, Grader, str], Grade]

USUAL: dict[Kind, tuple[Rule, ...]] = {
    "exact": ("line", "last_line"),
    "regex": ("line", "last_line"),
    "number": ("boxed", "line", "last_number"),
    "tolerance": ("boxed", "line", "last_number"),
    "math": ("boxed", "line"),
    "choice": ("choice", "boxed"),
    "matscibench": ("boxed",),
}
"""Where a final answer stands when the definition does not say."""

NUMERIC: tuple[Kind, ...] = ("number", "tolerance", "math", "matscibench")

WRITTEN: dict[Rule, str] = {
    "boxed": r"\boxed{%s}",
    "tag": "<answer>%s</answer>",
    "line": "Answer: %s",
    "last_line": "%s",
    "last_number": "%s",
    "choice": "Answer: %s",
}
"""How a reply writes its final answer for a rule to find it."""


def grader_of(sample: Sample) -> Grader:
    """Return the grader that a sample carries."""
    return msgspec.convert(sample.details["grader"], Grader)


def rules_of(grader: Grader) -> tuple[Rule, ...]:
    """Return where the final answer may stand."""
    return grader.rules or USUAL.get(grader.kind, ())


def score(sample: Sample, transcript: Transcript) -> Score:
    """Judge an attempt at a sample of a declared suite."""
    grader = grader_of(sample)
    scorer = f"{sample.suite}:{grader.kind}/1"
    if grader.kind == "ifeval":
        return instructed.score(sample, transcript, scorer)
    if grader.kind == "contains":
        return _contains(sample, grader, transcript, scorer)
    judge = JUDGES[grader.kind]
    if grader.kind == "matscibench" and matscibench.is_formula(sample):
        return Score(status="unscored", reason=matscibench.NO_JUDGE, scorer=scorer)
    rules = rules_of(grader)
    return score_answer(transcript, rules, lambda text: judge(sample, grader, text), scorer=scorer)


def reading(sample: Sample, transcript: Transcript) -> str | None:
    """Return equal texts for answers that the grader reads alike; None where it reads none."""
    grader = grader_of(sample)
    rules = rules_of(grader)
    if not rules:
        return tidy(transcript.answer) or None
    found = extract(transcript.answer, rules)
    if found is None:
        return None
    if grader.kind == "choice":
        return as_letter(found.text, LETTERS[: len(sample.details["choices"])]) or None
    number = _read(found.text) if grader.kind in NUMERIC else None
    return str(number.value) if number else tidy(found.text, ignore_case=grader.ignore_case)


def _contains(sample: Sample, grader: Grader, transcript: Transcript, scorer: str) -> Score:
    wanted, said = _wanted(sample), transcript.answer
    if grader.ignore_case:
        wanted, said = wanted.lower(), said.lower()
    passed = wanted in said
    reason = "" if passed else f"The reply does not contain {_wanted(sample)[:80]!r}."
    return Score(status="scored", value=float(passed), passed=passed, reason=reason, scorer=scorer)


def _wanted(sample: Sample) -> str:
    return sample.answer or ""


def _graded(right: bool, wanted: str, given: str) -> Grade:
    reason = "" if right else f"{given[:80]!r} is not {wanted[:80]!r}."
    return Grade(verdict="right" if right else "wrong", how="text", reason=reason)


def tidy(text: str, *, ignore_case: bool = True) -> str:
    """Return ``text`` on one line, without a closing full stop or quotation marks."""
    plain = " ".join(text.split()).removesuffix(".").strip("\"'` ")
    return plain.casefold() if ignore_case else plain


def _exact(sample: Sample, grader: Grader, text: str) -> Grade:
    wanted = _wanted(sample)
    same = tidy(text, ignore_case=grader.ignore_case) == tidy(
        wanted, ignore_case=grader.ignore_case
    )
    return _graded(same, wanted, text)


def _regex(sample: Sample, grader: Grader, text: str) -> Grade:
    pattern = grader.pattern or _wanted(sample)
    flags = re.IGNORECASE if grader.ignore_case else 0
    return _graded(re.fullmatch(pattern, text.strip(), flags) is not None, pattern, text)


def _number(sample: Sample, grader: Grader, text: str) -> Grade:
    del grader
    return _numeric(_wanted(sample), text, EXACT)


def _tolerance(sample: Sample, grader: Grader, text: str) -> Grade:
    most = Tolerance(relative=grader.relative, absolute=grader.absolute)
    return _numeric(_wanted(sample), text, most)


def _numeric(wanted: str, text: str, tolerance: Tolerance) -> Grade:
    right, given = _read(wanted), _read(text)
    if right is None:
        return Grade(
            verdict="undecided", how="number", reason=f"The reference {wanted!r} is no number."
        )
    if given is None:
        return Grade(verdict="wrong", how="number", reason=f"{text[:80]!r} is no number.")
    return _graded(equal(right, given, tolerance), wanted, text)


def _read(text: str) -> PlainNumber | None:
    r"""Read a number that may have a unit or a name: ``x = 12 km``, ``12 \text{ km}``."""
    plain = re.sub(r"\\(?:text|mathrm|mbox){[^{}]*}", "", text.rpartition("=")[2])
    return read(plain) or read(re.sub(r"[\s*]*[A-Za-z°²³/]+\.?$", "", plain.strip()))


def _math(sample: Sample, grader: Grader, text: str) -> Grade:
    most = Tolerance(relative=grader.relative, absolute=grader.absolute)
    return grade_math(_wanted(sample), text, tolerance=most)


def _choice(sample: Sample, grader: Grader, text: str) -> Grade:
    del grader
    letters = LETTERS[: len(sample.details["choices"])]
    letter = as_letter(text, letters)
    return _graded(letter == _wanted(sample), _wanted(sample), letter or text)


def _matscibench(sample: Sample, grader: Grader, text: str) -> Grade:
    del grader
    return matscibench.grade(_wanted(sample), text)


JUDGES: Mapping[Kind, Judge] = {
    "exact": _exact,
    "regex": _regex,
    "number": _number,
    "tolerance": _tolerance,
    "math": _math,
    "choice": _choice,
    "matscibench": _matscibench,
}


def right_reply(sample: Sample) -> str:
    """Write a reply that passes; empty where none is known (some instructions contradict)."""
    grader = grader_of(sample)
    if grader.kind == "ifeval":
        return instructed.right_reply(sample)
    if grader.kind == "contains":
        return f"It is {_wanted(sample)}"
    return _write(grader, _wanted(sample))


def wrong_reply(sample: Sample) -> str:
    """Write a reply that looks like an answer and fails."""
    grader = grader_of(sample)
    if grader.kind == "ifeval":
        return instructed.wrong_reply(sample)
    if grader.kind == "contains":
        return "I do not know." if _wanted(sample) != "I do not know." else "Never mind."
    if grader.kind == "choice":
        letters = LETTERS[: len(sample.details["choices"])]
        return _write(grader, letters[(letters.index(_wanted(sample)) + 1) % len(letters)])
    return _write(grader, _spoilt(_wanted(sample)))


def _spoilt(answer: str) -> str:
    """Return another answer of the same sort."""
    number = read(answer)
    if number is None:
        return "-987654321" if re.search(r"[\d\\{}^]", answer) else f"not {answer}"
    value = number.value * 2 + 7
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.6g}"


def _write(grader: Grader, answer: str) -> str:
    return WRITTEN[rules_of(grader)[0]] % answer


def kept_for(grader: Grader) -> dict[str, Any]:
    """Return what a sample carries of its grader."""
    return cast("dict[str, Any]", msgspec.to_builtins(grader))
