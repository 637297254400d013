"""From a reply to a score: extract by rule, judge what was extracted, keep the two apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from qbench.benchmarks.scoring.extraction import Rule, extract, parts, why_none
from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript

How = Literal["text", "number", "symbols", "verified", "refused"]
"""The step that decided: equal text, equal numbers, symbolic comparison, a check of the answer
against the question's own conditions, or a text that is no answer at all."""


class Grade(Struct, frozen=True, kw_only=True):
    """What a judge says of one extracted answer."""

    verdict: Literal["right", "wrong", "undecided"]
    """``undecided``: the check ran into a limit, which is no verdict."""
    how: How
    reason: str = ""
    """One sentence; empty when right."""
    partial: float = 0.0
    """Credit of a wrong answer, below 1."""


def score_answer(
    transcript: Transcript, rules: Sequence[Rule], judge: Callable[[str], Grade], *, scorer: str
) -> Score:
    """Judge the final answer of ``transcript``, taken out by the first of ``rules`` that matches.

    A failed extraction scores 0 with its own reason and ``extraction.failed`` at 1.0; an
    undecided answer is unscored.
    """
    found = extract(transcript.answer, rules)
    components = parts(found, rules)
    if found is None:
        cut = " The reply was cut." if transcript.truncated else ""
        reason = why_none(rules) + cut
        return Score(status="scored", reason=reason, components=components, scorer=scorer)
    grade = judge(found.text)
    return Score(
        status="unscored" if grade.verdict == "undecided" else "scored",
        value=1.0 if grade.verdict == "right" else grade.partial,
        passed=grade.verdict == "right",
        reason=grade.reason,
        components=components,
        scorer=scorer,
    )
