"""Models of known skill for the tests of strategies, and attempts made with them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from qbench.benchmarks.agent.asking import Asking, Means
from qbench.benchmarks.agent.loop import AgentOptions
from qbench.benchmarks.catalogue import load_strategy, load_suite, strategy_of
from qbench.benchmarks.chat import Chat, Sampling
from qbench.benchmarks.scoring.judging import judge
from qbench.benchmarks.strategies.way import make_attempt
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.transcript import Transcript
from qbench.workers.engines.behaviours import seeded
from qbench.workers.engines.scripted import ScriptedChat
from qbench.workers.engines.skilled import Knowledge, Known, skilled
from tests.unit.test_asking import nothing

SUMS = load_suite("sums")
MANY = 200
SAMPLES = SUMS.samples(seed=0, tasks=("add",), levels=(3,), limit=MANY)


class Tried(Struct, frozen=True):
    """Attempts at all samples."""

    transcripts: list[Transcript]
    scores: list[Score]

    def rate(self, component: str = "") -> float:
        """Return the pass rate, or a component's mean."""
        if not component:
            return float(np.mean([score.passed for score in self.scores]))
        return float(np.mean([score.components[component] for score in self.scores]))


def of_skill(accuracy: float, seed: int = 0) -> ScriptedChat:
    """Return a model that knows the answers and gives them so often."""
    known = {
        one.id: Known(prompt=one.prompt, solution=SUMS.solution(one), blunder=SUMS.blunder(one))
        for one in SAMPLES
    }
    return ScriptedChat(skilled(Knowledge(suite="sums", samples=known), accuracy, seeded(seed)))


def means(chat: Chat, temperature: float = 0.7, **others: Chat) -> Means:
    return Means(
        chat=chat,
        open_world=nothing,
        options=AgentOptions(sampling=Sampling(temperature=temperature)),
        suite=SUMS,
        value=lambda asked, made: SUMS.score(asked, made).value,
        others=others,
    )


async def attempt(spelled: str, sample: Sample, given: Means) -> Transcript:
    strategy = strategy_of(spelled)
    return await make_attempt(load_strategy(strategy.name), Asking(sample, strategy, given))


def tried(spelled: str, given: Means, samples: Sequence[Sample] = SAMPLES) -> Tried:
    async def every() -> list[Transcript]:
        return [await attempt(spelled, sample, given) for sample in samples]

    made = asyncio.run(every())
    scores = [judge(SUMS, one, what) for one, what in zip(samples, made, strict=True)]
    return Tried(made, scores)


def near(found: float, wanted: float, n: int = MANY) -> bool:
    """Whether a rate over n attempts is within 3.5 standard errors."""
    return abs(found - wanted) <= 3.5 * math.sqrt(wanted * (1 - wanted) / n) + 1e-9


def majority_of(p: float, k: int) -> float:
    """Return the chance that most of k votes are right where all wrong ones agree.

    A tie goes to the first vote, which is right in half of the ties.
    """
    law = [math.comb(k, c) * p**c * (1 - p) ** (k - c) for c in range(k + 1)]
    tie = law[k // 2] / 2 if k % 2 == 0 else 0.0
    return sum(law[k // 2 + 1 :]) + tie
