"""Several suites asked in one run: their tasks are called ``suite/task``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain, zip_longest

from msgspec.structs import replace

from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.votes import answer_key
from qbench.benchmarks.suite import Environment, Sample, Score, Suite, ToolBox
from qbench.benchmarks.transcript import Transcript


class Several:
    """The suites as one."""

    def __init__(self, suites: Sequence[Suite]) -> None:
        self._suites = {suite.name: suite for suite in suites}
        self.name = ",".join(self._suites)
        self.version = ",".join(suite.version for suite in suites)
        self.tasks = tuple(f"{suite.name}/{task}" for suite in suites for task in suite.tasks)
        self.further_tasks = tuple(
            f"{suite.name}/{task}" for suite in suites for task in suite.further_tasks
        )
        self.levels = tuple(sorted({level for suite in suites for level in suite.levels}))
        self.description = "; ".join(suite.description for suite in suites)
        self.license = ", ".join(dict.fromkeys(suite.license for suite in suites))
        self.tokens = max(suite.tokens for suite in suites)
        self.generated = all(suite.generated for suite in suites)

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Draw from each suite in turn; see ``Suite.samples``."""
        wanted = {name: _of(name, tasks) for name in self._suites}
        asked = [name for name in wanted if wanted[name]]
        drawn = [
            self._draw(name, seed, wanted[name], levels, -((place - limit) // len(asked)))
            for place, name in enumerate(asked)
        ]
        mixed = chain.from_iterable(zip_longest(*drawn))
        return tuple(sample for sample in mixed if sample is not None)

    def _draw(
        self, name: str, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> list[Sample]:
        suite = self._suites[name]
        shared = tuple(level for level in levels if level in suite.levels)
        if not shared or limit < 1:
            return []
        drawn = suite.samples(seed=seed, tasks=tasks, levels=shared, limit=limit)
        return [
            replace(sample, task=f"{name}/{sample.task}", family=f"{name}/{sample.family}")
            for sample in drawn
        ]

    @asynccontextmanager
    async def environment(self, *, slots: int) -> AsyncIterator[Environment]:
        """Start what the suites need, each when its first sample comes."""
        async with AsyncExitStack() as stack:
            yield _Environments(self._suites, stack, slots)

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge as the sample's own suite does."""
        return self._suites[sample.suite].score(own(sample), transcript)

    def answer_key(self, sample: Sample, transcript: Transcript) -> str | None:
        """Read an answer as the sample's own suite does."""
        return answer_key(self._suites[sample.suite], own(sample), transcript)

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Return what passes."""
        return self._suites[sample.suite].solution(own(sample))

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Return what fails."""
        return self._suites[sample.suite].blunder(own(sample))


def own(sample: Sample) -> Sample:
    """Return the sample with the names its own suite gave it."""
    start = f"{sample.suite}/"
    return replace(
        sample, task=sample.task.removeprefix(start), family=sample.family.removeprefix(start)
    )


def _of(name: str, tasks: Sequence[str]) -> tuple[str, ...]:
    start = f"{name}/"
    return tuple(task.removeprefix(start) for task in tasks if task.startswith(start))


class _Environments:
    """Environments of the suites, entered when they are needed."""

    def __init__(self, suites: dict[str, Suite], stack: AsyncExitStack, slots: int) -> None:
        self._suites, self._stack, self._slots = suites, stack, slots
        self._open: dict[str, Environment] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def open(self, sample: Sample) -> AsyncIterator[ToolBox]:
        """Lease a fresh world of the sample's own suite."""
        environment = await self._environment(sample.suite)
        async with environment.open(own(sample)) as tools:
            yield tools

    async def _environment(self, name: str) -> Environment:
        async with self._opening:
            if name not in self._open:
                made = self._suites[name].environment(slots=self._slots)
                self._open[name] = await self._stack.enter_async_context(made)
        return self._open[name]
