"""The self-tests of a suite, all on the same samples."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from qbench.benchmarks.agent.loop import AttemptFailed
from qbench.benchmarks.checking import drawing
from qbench.benchmarks.checking.findings import Check, Checked, Finding
from qbench.benchmarks.checking.playing import played
from qbench.benchmarks.suite import Environment, Sample, Score, Suite
from qbench.errors import ConfigError

SLOTS = 8
"""Attempts at a time."""
SKILL, DECLINE = 0.9, 0.1
"""Of the fake model: its pass rate at level 1, and how much it loses with each level."""


class Played(Struct, frozen=True, kw_only=True):
    """How a sample's own solution and blunder were judged."""

    sample: Sample
    solution: Score | None
    """None where no solution is known."""
    blunder: Score


async def check_suite(
    suite: Suite, *, seed: int = 0, limit: int = 60, free: bool = False
) -> Checked:
    """Check ``suite`` on ``limit`` samples; ``free``: nothing passes or fails in it.

    What is missing on this machine is told, not raised.
    """
    began = time.monotonic()
    try:
        samples = suite.samples(seed=seed, tasks=suite.tasks, levels=suite.levels, limit=limit)
        findings = [
            drawing.same(suite, seed, limit, samples),
            drawing.extends(suite, seed, samples),
            drawing.distinct(samples),
        ]
        findings += [] if free else await _played_checks(suite, samples)
    except ConfigError as error:
        said = f"{error.what} {error.hint}".strip()
        return Checked(suite=suite.name, samples=0, skipped=said)
    except AttemptFailed as error:
        wrong = Finding(check="references", ok=False, detail=f"a tool server failed: {error.what}")
        findings = [wrong]
    spent = time.monotonic() - began
    return Checked(suite=suite.name, samples=len(samples), findings=tuple(findings), seconds=spent)


async def _played_checks(suite: Suite, samples: Sequence[Sample]) -> list[Finding]:
    async with suite.environment(slots=SLOTS) as environment:
        free = asyncio.Semaphore(SLOTS)
        asked = (_both(suite, environment, sample, free) for sample in samples)
        outcomes = await asyncio.gather(*asked)
    return [
        references(outcomes),
        blunders(outcomes),
        drawing.tools(suite, samples),
        skill(outcomes),
    ]


async def _both(
    suite: Suite, environment: Environment, sample: Sample, free: asyncio.Semaphore
) -> Played:
    async with free:
        known = suite.solution(sample)
        right = await played(suite, environment, sample, known) if known else None
        wrong = await played(suite, environment, sample, suite.blunder(sample))
    return Played(sample=sample, solution=right, blunder=wrong)


def references(outcomes: Sequence[Played]) -> Finding:
    """Say whether the solutions passed."""
    known = [one for one in outcomes if one.solution is not None]
    if not known:
        return Finding(check="references", ok=None, detail="no solution is known")
    failed = [
        f"{one.sample.id}: {one.solution.reason or one.solution.status}"
        for one in known
        if one.solution is not None and not one.solution.passed
    ]
    unknown = len(outcomes) - len(known)
    told = f"{unknown} without a known solution" if unknown else ""
    return _finding("references", len(known), failed, told)


def blunders(outcomes: Sequence[Played]) -> Finding:
    """Say whether the blunders failed; an unscored one did not."""
    passed = [
        f"{one.sample.id}: {'passed' if one.blunder.passed else one.blunder.reason}"
        for one in outcomes
        if one.blunder.passed or one.blunder.status != "scored"
    ]
    return _finding("blunders", len(outcomes), passed, "")


def _finding(check: Check, number: int, wrong: Sequence[str], told: str) -> Finding:
    return Finding(
        check=check, ok=not wrong, of=number, missed=len(wrong), detail=wrong[0] if wrong else told
    )


def skill(outcomes: Sequence[Played]) -> Finding:
    """Let a fake of known skill answer: the pass rate of each level must be its skill there.

    Its luck is spread evenly over a level's samples, so that no chance is in the comparison: each
    rate must be the skill to within one sample.
    """
    levels: dict[int, list[Played]] = defaultdict(list)
    for one in outcomes:
        if one.solution is not None:
            levels[one.sample.level].append(one)
    if not levels:
        return Finding(check="skill", ok=None, detail="no solution is known")
    rates = {level: _rate(level, ones) for level, ones in sorted(levels.items())}
    off = [
        f"level {level}: {rate:.2f} instead of {_skill(level):.2f}"
        for level, rate in rates.items()
        if abs(rate - _skill(level)) > 1 / len(levels[level])
    ]
    said = ", ".join(f"{rate:.2f}" for rate in rates.values())
    return _finding("skill", sum(map(len, levels.values())), off, said)


def _skill(level: int) -> float:
    return SKILL - DECLINE * (level - 1)


def _rate(level: int, ones: Sequence[Played]) -> float:
    """Return the pass rate of the fake at a level."""
    lucky = [(place + 0.5) / len(ones) < _skill(level) for place in range(len(ones))]
    said = [one.solution if luck else one.blunder for one, luck in zip(ones, lucky, strict=True)]
    return sum(score is not None and score.passed for score in said) / len(ones)
