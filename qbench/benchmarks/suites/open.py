"""Open prompts without a right answer: ranked against each other by ``qbench arena``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from math import prod
from string import Formatter

from qbench.benchmarks.chat import Message
from qbench.benchmarks.servers.no_tools import no_tools
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.drawing import named, places
from qbench.benchmarks.suites.open_prompts import ENDINGS, SLOTS, TEMPLATES
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn

REASON = "reference-free: no right answer to compare with; ranked by `qbench arena`"


class OpenSuite:
    """The suite."""

    name = "open"
    version = "2"
    tasks = tuple(TEMPLATES)
    levels = (1,)
    description = "Open prompts without a right answer, for qbench arena"
    license = "own"
    generated = True
    further_tasks: tuple[str, ...] = ()
    tokens = 32_768

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate samples; see ``Suite.samples``."""
        return tuple(
            named(draw(seed, task, number), number)
            for task, _, number in places(tasks, levels, limit)
        )

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Start nothing."""
        del slots
        return no_tools()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Leave the verdict to a tournament."""
        del sample
        return unjudged(self.name, self.version, transcript)

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Return an answer; none passes and none fails."""
        return (Message(role="assistant", content=f"An answer to: {sample.prompt}"),)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Return a useless answer."""
        del sample
        return (Message(role="assistant", content="I do not know."),)


def unjudged(suite: str, version: str, transcript: Transcript) -> Score:
    """Return the score of an attempt that only a comparison can judge."""
    return Score(
        status="unscored",
        reason=REASON,
        scorer=f"{suite}/{version}",
        components={
            "open.characters": float(len(transcript.answer)),
            "open.empty": float(not transcript.answer.strip()),
        },
    )


def draw(seed: int, task: str, number: int) -> Sample:
    """Draw one sample, still without an id: templates in turn, in an order of the seed's own.

    The fillings of a template come in a drawn order and again only when all have come.
    """
    templates = TEMPLATES[task]
    turn, place = divmod(number, len(templates))
    order = list(range(len(templates)))
    drawn("open", seed, task, "order", turn).shuffle(order)
    chosen = order[place]
    return Sample(
        id="",
        suite="open",
        task=task,
        level=1,
        family=f"{task}/{chosen}",
        prompt=filled(templates[chosen], turn, drawn("open", seed, task, chosen)),
    )


def filled(template: str, turn: int, rng: random.Random) -> str:
    """Fill a template the ``turn``-th way, in an order that ``rng`` draws."""
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    choices = [SLOTS[name] for name in dict.fromkeys(names)] + [ENDINGS]
    place = rng.sample(range(ways := prod(map(len, choices))), k=ways)[turn % ways]
    values = []
    for choice in choices:
        place, which = divmod(place, len(choice))
        values.append(choice[which])
    return template.format(**dict(zip(dict.fromkeys(names), values, strict=False))) + values[-1]
