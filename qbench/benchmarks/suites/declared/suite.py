"""A declared suite at work: finite data, asked in an order that the seed draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice

from msgspec.structs import replace

from qbench.benchmarks.canary import veiled_score
from qbench.benchmarks.chat import Message
from qbench.benchmarks.servers.no_tools import no_tools
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.declared import graders, keeping
from qbench.benchmarks.suites.declared.definition import Definition
from qbench.benchmarks.suites.declared.sampling import Place, slug
from qbench.benchmarks.suites.declared.table import Table
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn


class DeclaredSuite:
    """The suite of a definition; ``name``: the full name under which it was kept.

    Raises:
        ConfigError: its tasks are not declared and its rows cannot be read.

    """

    generated = False
    further_tasks: tuple[str, ...] = ()
    tokens = 32_768

    def __init__(self, definition: Definition, *, name: str = "") -> None:
        self.definition = definition
        self.name = name or keeping.full_name(definition)
        self.version = definition.version
        self.description = definition.description
        self.license = definition.license
        self._table = Table(definition, self.name)
        self.tasks = definition.tasks or self._tasks()
        self.levels = definition.levels or self._levels()

    def _tasks(self) -> tuple[str, ...]:
        if not self.definition.columns.task:
            return (slug(self.definition.name),)
        return tuple(dict.fromkeys(place.task for place in self._table.places))

    def _levels(self) -> tuple[int, ...]:
        if not self.definition.columns.level:
            return (1,)
        return tuple(sorted({place.level for place in self._table.places}))

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Draw samples; see ``Suite.samples``. Keeps the definition for later."""
        keeping.check_unchanged(self.name, self.definition)
        order = islice(self._order(seed, tasks, levels), limit)
        chosen = [place.number for place in order]
        made = self._table.samples(frozenset(chosen))
        if "@" in self.name:
            known = replace(self.definition, tasks=self.tasks, levels=self.levels)
            keeping.keep(self.name, known)
        return tuple(made[number] for number in chosen)

    def _order(self, seed: int, tasks: Sequence[str], levels: Sequence[int]) -> Iterator[Place]:
        """Yield the rows, each task and level in turn while it has some left."""
        pairs = [(task, level) for level in sorted(levels) for task in tasks]
        groups: dict[tuple[str, int], list[Place]] = {pair: [] for pair in pairs}
        for place in self._table.places:
            if (place.task, place.level) in groups:
                groups[place.task, place.level].append(place)
        for (task, level), places in groups.items():
            drawn(self.definition.name, seed, task, level).shuffle(places)
        waiting = deque(deque(places) for places in groups.values() if places)
        while waiting:
            group = waiting.popleft()
            yield group.popleft()
            if group:
                waiting.append(group)

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Start nothing."""
        del slots
        return no_tools()

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge by the grader that the sample carries."""
        return veiled_score(graders.score(sample, transcript), sample.canary)

    def answer_key(self, sample: Sample, transcript: Transcript) -> str | None:
        """Return what a vote counts as one answer, as the sample's grader reads it."""
        return graders.reading(sample, transcript)

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Return the reply that passes; none where no right reply is known."""
        said = graders.right_reply(sample)
        return (Message(role="assistant", content=said),) if said else ()

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Return a reply that fails."""
        return (Message(role="assistant", content=graders.wrong_reply(sample)),)
