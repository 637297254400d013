"""BFCL: the Berkeley Function Calling Leaderboard's questions, version 4, over native tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import chain, islice, zip_longest
from pathlib import Path

from qbench.benchmarks.chat import Message
from qbench.benchmarks.data import needed
from qbench.benchmarks.servers.tools import ServerPool
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.bfcl import playing, single, turns
from qbench.benchmarks.suites.bfcl.recording import Servers
from qbench.benchmarks.suites.bfcl.records import MULTI_TURN, NAME, SINGLE, answers, questions
from qbench.benchmarks.suites.drawing import named
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn

WORLDS = {"bfcl": "qbench.benchmarks.suites.bfcl.world:BACKENDS_WORLD"}


class BfclSuite:
    """The suite."""

    name = "bfcl"
    version = "1"
    tasks = (*SINGLE, *MULTI_TURN)
    levels = (1,)
    description = "Berkeley Function Calling Leaderboard v4: which function, with what arguments"
    license = "Apache-2.0"
    generated = False
    further_tasks: tuple[str, ...] = ()
    tokens = 2_000_000

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Take questions of each task in turn; see ``Suite.samples``."""
        if 1 not in levels:
            return ()
        mixed = chain.from_iterable(zip_longest(*(_in_order(task, seed) for task in tasks)))
        return tuple(islice((sample for sample in mixed if sample is not None), limit))

    @asynccontextmanager
    async def environment(self, *, slots: int) -> AsyncIterator[Environment]:
        """Serve the back-ends from at most ``slots`` processes."""
        async with ServerPool(slots, WORLDS) as pool:
            yield Servers(pool)

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge by BFCL's rules: no part of an answer counts without the rest."""
        judge = turns if sample.world else single
        reason = judge.wrong(sample, transcript)
        passed = not reason
        return Score(
            status="scored",
            value=float(passed),
            passed=passed,
            reason=reason,
            components=judge.components(sample, transcript, passed=passed),
            scorer=f"{self.name}/{self.version}",
        )

    def answer_key(self, sample: Sample, transcript: Transcript) -> str | None:
        """Return equal texts for the same calls, or for the same states after each message."""
        return turns.key(sample, transcript) if sample.world else single.key(sample, transcript)

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Make the answer's calls, turn by turn."""
        return playing.solution(sample)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Call with a wrong argument, or call where nothing fits, or do nothing."""
        return playing.blunder(sample)


def _in_order(task: str, seed: int) -> Iterator[Sample]:
    """Yield a task's samples in the order of a seed."""
    order = list(range(len(questions(task))))
    drawn("bfcl", task, seed).shuffle(order)
    made = (_sample(needed(NAME), task, number) for number in order)
    return (sample for sample in made if sample is not None)


@lru_cache(maxsize=8192)
def _sample(folder: Path, task: str, number: int) -> Sample | None:
    """Make the sample of a task's question; None where no answer can be right.

    ``folder`` is where the data is: another one may hold other questions.
    """
    del folder
    entry = questions(task)[number]
    answer = answers(task).get(entry.id)
    draw = turns.draw if task in MULTI_TURN else single.draw
    sample = draw(task, entry, answer)
    return named(sample, number) if sample else None
