"""Fakes for tournaments: essays of known strength, and a judge of known skill and known bias."""

from __future__ import annotations

import re

from msgspec import Struct

from qbench.benchmarks.scoring.pairwise import shown
from qbench.workers.engines.behaviours import Asked, Behaviour, Draw, ScriptedTurn, arithmetic

MARK = re.compile(r"\[strength (-?\d+(?:\.\d+)?)\]")
NUMBER = re.compile(r"-?\d+")
WORDS = "a plan in short words that says what comes first and why it does so for those who ask"


class JudgeOptions(Struct, frozen=True, kw_only=True):
    """What a scripted judge is like."""

    accuracy: float = 0.8
    """Share of pairs of which it knows the better one; in both orders alike."""
    by_strength: bool = False
    """The better one wins as often as Elo says of the strengths, instead of ``accuracy``."""
    position_bias: float = 0.0
    """Share of questions in which it names the first shown, whatever they are."""
    confidence: float | None = None
    """What it states; None: what is true of it."""


def essay(strength: float, draw: Draw) -> Behaviour:
    """Answer anything with some words and a mark of how good they are."""

    def reply(asked: Asked) -> ScriptedTurn:
        words = WORDS.split()
        start = int(draw("essay", asked.prompt, strength) * len(words))
        text = " ".join(words[start:] + words[:start])
        return ScriptedTurn(say=f"{text}. [strength {strength:g}]")

    return reply


def judge(options: JudgeOptions, draw: Draw) -> Behaviour:
    """Compare essays by their marks, and answers to sums by which is right.

    What it knows of a pair does not depend on the order; its bias is drawn for each order apart.
    """

    def reply(asked: Asked) -> ScriptedTurn:
        parts = shown(asked.prompt)
        if parts is None:
            return ScriptedTurn(say="I see no two answers.")
        request, first, second = parts
        gap = _gap(request, first, second)
        sure = _sure(gap, options)
        low, high = sorted((first, second))
        luck = draw("judge", request, low, high)
        better = first if gap > 0 or (gap == 0 and first == low) else second
        named = better if luck < sure else second if better == first else first
        if draw("bias", request, first, second) < options.position_bias:
            named = first
        stated = sure if options.confidence is None else options.confidence
        said = "first" if named == first else "second"
        return ScriptedTurn(
            say=f"One of them is better.\nVerdict: {said}\nConfidence: {100 * stated:g}"
        )

    return reply


def _sure(gap: float, options: JudgeOptions) -> float:
    """Return how often the better one is named; half the time where there is none."""
    if gap == 0:
        return 0.5
    return 1 / (1 + 10 ** (-abs(gap) / 400)) if options.by_strength else options.accuracy


def _gap(request: str, first: str, second: str) -> float:
    """Return by how much the first is better: Elo of marks, or 1 for the only right sum."""
    marks = [MARK.findall(text) for text in (first, second)]
    if all(marks):
        return float(marks[0][-1]) - float(marks[1][-1])
    value = arithmetic(request)
    if value is None:
        return 0.0
    right = [NUMBER.findall(text)[-1:] == [str(value)] for text in (first, second)]
    return float(right[0]) - float(right[1])
