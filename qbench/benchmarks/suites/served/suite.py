"""A suite over the user's servers at work."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from qbench.benchmarks.chat import Message
from qbench.benchmarks.scoring.check import answered, same
from qbench.benchmarks.scoring.decisions import decompose
from qbench.benchmarks.scoring.radar import dimensions
from qbench.benchmarks.suite import Environment, ReferenceCall, Sample, Score
from qbench.benchmarks.suites.drawing import named
from qbench.benchmarks.suites.playing import called, played
from qbench.benchmarks.suites.served import keeping
from qbench.benchmarks.suites.served.definition import (
    Asked,
    Call,
    Expect,
    Read,
    Served,
    read_served,
)
from qbench.benchmarks.suites.served.environment import ServedEnvironment
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import drawn

WORLD = "served"


class ServedSuite:
    """The suite of a definition, which is kept."""

    generated = False
    further_tasks: tuple[str, ...] = ()
    tokens = 131_072

    def __init__(self, served: Served) -> None:
        self.served = served
        self.name = keeping.keep(served)
        self.version = served.version
        self.description = served.description or f"Your MCP servers: {', '.join(served.servers)}"
        self.license = served.license
        self.tasks = tuple(dict.fromkeys(task.task for task in served.tasks))
        self.levels = tuple(sorted({task.level for task in served.tasks}))

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Draw samples, each task and level in turn; see ``Suite.samples``."""
        groups: dict[tuple[str, int], list[Sample]] = {
            (task, level): [] for level in sorted(levels) for task in tasks
        }
        for number, one in enumerate(self.served.tasks):
            if (one.task, one.level) in groups:
                groups[one.task, one.level].append(named(self._sample(one, number), number))
        for (task, level), found in groups.items():
            drawn(self.served.name, seed, task, level).shuffle(found)
        return tuple(_in_turn(list(groups.values())))[:limit]

    def _sample(self, asked: Asked, number: int) -> Sample:
        wanted = asked.expect
        reference = asked.solution if asked.solution is not UNSET else wanted.calls
        answer = wanted.answer
        return Sample(
            id="",
            suite=self.name,
            task=asked.task,
            level=asked.level,
            family=asked.id or f"{asked.task}-{number + 1}",
            prompt=asked.prompt,
            system=self.served.system,
            tools=asked.tools or self.served.tools,
            tool_choice=asked.tool_choice,
            max_calls=asked.max_calls,
            world=WORLD,
            start_state={"files": dict(asked.files)},
            answer=None if answer is None else str(answer),
            reference=_reference(() if reference is UNSET else reference),
            details={
                "expect": msgspec.to_builtins(wanted),
                "before": msgspec.to_builtins(asked.before),
                "reads": msgspec.to_builtins(wanted.state),
                "solved": reference is not UNSET,
            },
        )

    @asynccontextmanager
    async def environment(self, *, slots: int) -> AsyncIterator[Environment]:
        """Start the servers for each attempt anew, at most ``slots`` at a time."""
        yield ServedEnvironment(self.served.servers, slots)

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge by everything that the sample expects."""
        scorer = f"{sample.suite}:served/1"
        wanted = msgspec.convert(sample.details["expect"], Expect)
        if wanted.state and transcript.end_state is None:
            return Score(status="unscored", reason="The end state was not read.", scorer=scorer)
        reason = wrong(wanted, sample, transcript)
        passed = not reason
        parts = decompose(sample, transcript, passed=passed) if sample.details["solved"] else {}
        return Score(
            status="scored",
            value=float(passed),
            passed=passed,
            reason=reason,
            components=parts | dimensions(sample, transcript, passed=passed),
            scorer=scorer,
        )

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Make the calls of the solution, then answer; nothing where no solution is told."""
        return played(sample) if sample.details["solved"] else ()

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Do nothing, or call a tool where none is to be called."""
        if sample.details["expect"].get("calls") == []:
            return (called(0, sample.tools[0], {}), Message(role="assistant", content="Done."))
        return (Message(role="assistant", content="I cannot say."),)


def _reference(calls: Sequence[Call]) -> tuple[ReferenceCall, ...]:
    return tuple(ReferenceCall(name=one.call, arguments=one.arguments) for one in calls)


def _in_turn(groups: Sequence[Sequence[Sample]]) -> list[Sample]:
    waiting = deque(deque(group) for group in groups if group)
    found = []
    while waiting:
        group = waiting.popleft()
        found.append(group.popleft())
        if group:
            waiting.append(group)
    return found


def wrong(wanted: Expect, sample: Sample, transcript: Transcript) -> str:
    """Say in a sentence what is not as expected; empty when all is."""
    if wanted.calls is not UNSET:
        made = [(run.name, run.arguments) for run in transcript.tool_runs if not run.fault]
        if not wanted.calls and made:
            return "A tool was called where nothing was to be called."
        for one in wanted.calls:
            if (one.call, one.arguments) not in made:
                return f"{one.call} was not called as it should be."
            made.remove((one.call, one.arguments))
    shown = (transcript.end_state or {}).get("reads", [])
    for read, value in zip(wanted.state, shown, strict=False):
        if not _shows(read, value):
            return f"{read.call or read.resource or read.file} does not show what it should."
    if sample.answer is not None and not answered(sample.answer, transcript.answer):
        return f"The answer is not {sample.answer!r}."
    return ""


def _shows(read: Read, value: Any) -> bool:
    if read.contains:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if read.contains not in text:
            return False
    return read.equals is UNSET or same(value, read.equals)


def load_served(path: Path) -> ServedSuite:
    """Make the suite of a YAML file. Raises ConfigError."""
    return ServedSuite(read_served(path))
