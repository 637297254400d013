"""Small arithmetic: no tools, one integer as the answer. Cheap to run, easy to tell apart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.check import check
from qbench.benchmarks.servers.no_tools import no_tools
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.drawing import named, places
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn

SYSTEM = "Answer with the number only."
DIGITS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3}
"""Digits of each number by level."""
TERMS = {1: 2, 2: 2, 3: 2, 4: 3, 5: 4}
SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}


class SumsSuite:
    """The suite."""

    name = "sums"
    version = "1"
    tasks = tuple(SIGNS)
    levels = (1, 2, 3, 4, 5)
    description = "Small arithmetic without tools: add, subtract, multiply"
    license = "own"
    generated = True
    further_tasks: tuple[str, ...] = ()
    tokens = 32_768

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate samples; see ``Suite.samples``."""
        return tuple(
            named(draw(seed, task, level, number), number)
            for task, level, number in places(tasks, levels, limit)
        )

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Start nothing."""
        del slots
        return no_tools()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Compare the last number of the answer."""
        return check(sample, transcript, scorer=f"sums/{self.version}")

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Say the number."""
        return (Message(role="assistant", content=sample.answer or ""),)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Say the next number."""
        return (Message(role="assistant", content=str(int(sample.answer or 0) + 1)),)


def draw(seed: int, task: str, level: int, number: int) -> Sample:
    """Draw one sample, still without an id."""
    rng = drawn("sums", seed, task, level, number)
    terms = [_number(rng, DIGITS[level]) for _ in range(TERMS[level])]
    question = f"What is {f' {SIGNS[task]} '.join(map(str, terms))}?"
    return Sample(
        id="",
        suite="sums",
        task=task,
        level=level,
        family=question,  # small sums come twice: those are one observation, not two
        prompt=question,
        system=SYSTEM,
        examples=_examples(task, level),
        answer=str(_value(task, terms)),
    )


def _number(rng: random.Random, digits: int) -> int:
    return rng.randint(10 ** (digits - 1), 10**digits - 1)


def _value(task: str, terms: Sequence[int]) -> int:
    total, *rest = terms
    for term in rest:
        total = {"add": total + term, "subtract": total - term, "multiply": total * term}[task]
    return total


def _examples(task: str, level: int) -> tuple[Message, ...]:
    """Return three worked examples, the same for every sample of a task and level."""
    rng = drawn("sums", "examples", task, level)
    messages: list[Message] = []
    for _ in range(3):
        terms = [_number(rng, DIGITS[level]) for _ in range(TERMS[level])]
        asked = f"What is {f' {SIGNS[task]} '.join(map(str, terms))}?"
        messages.append(Message(role="user", content=asked))
        messages.append(Message(role="assistant", content=str(_value(task, terms))))
    return tuple(messages)
