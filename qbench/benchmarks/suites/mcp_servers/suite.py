"""Tool use over third-party MCP servers, installed once and started from there."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import cast

from msgspec.structs import replace

from qbench.benchmarks.chat import Message
from qbench.benchmarks.data import needed
from qbench.benchmarks.scoring.check import check, same
from qbench.benchmarks.servers.seats import Place, SeatPool
from qbench.benchmarks.suite import Environment, ReferenceCall, Sample, Score
from qbench.benchmarks.suites.drawing import named, places
from qbench.benchmarks.suites.mcp_servers.cases import SUITE, Job, draw
from qbench.benchmarks.suites.playing import played
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import play

_ROOM = "qbench.benchmarks.suites.mcp_servers"
TASKS = {
    "time": ("zones", "stateless:TIME"),
    "git": ("gitting", "gitting:PLACE"),
    "sqlite": ("table_jobs", "tables:PLACE"),
    "filesystem": ("folders", "folders:PLACE"),
    "memory": ("graph_jobs", "graphs:PLACE"),
    "everything": ("everything", "stateless:EVERYTHING"),
}
"""Where each task's job and place are defined."""


@cache
def job_of(task: str) -> Job:
    """Import the job of a task."""
    return cast("Job", importlib.import_module(f"{_ROOM}.{TASKS[task][0]}").JOB)


def place_of(task: str) -> Place:
    """Import what serves a task."""
    module, _, attribute = TASKS[task][1].partition(":")
    return cast("Place", getattr(importlib.import_module(f"{_ROOM}.{module}"), attribute))


class McpServersSuite:
    """The suite."""

    name = SUITE
    version = "1"
    tasks = tuple(TASKS)
    levels = (1, 2, 3, 4, 5)
    description = "Tool use over third-party MCP servers: time, git, sqlite, files, memory"
    license = "own"
    generated = True
    further_tasks: tuple[str, ...] = ()
    tokens = 131_072

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate samples; see ``Suite.samples``. Needs no server."""
        return tuple(
            named(draw(job_of(task), seed, level, number), number)
            for task, level, number in places(tasks, levels, limit)
        )

    @asynccontextmanager
    async def environment(self, *, slots: int) -> AsyncIterator[Environment]:
        """Serve the tasks from at most ``slots`` servers.

        Raises:
            ConfigError: the servers are not installed.

        """
        needed(SUITE)
        async with SeatPool(slots, {task: place_of(task) for task in TASKS}) as pool:
            yield pool

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge by end state and answer."""
        return check(sample, transcript, scorer=f"{SUITE}/{self.version}")

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Make the reference's calls, then answer."""
        return played(sample)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Get an answer a little wrong, leave out what matters, or meddle where nothing is due.

        The first message differs from the solution's: a scripted model that is asked again sees
        from it which of the two it plays.
        """
        if not sample.reference:
            made = played(replace(sample, reference=(_job(sample).needless,)))
        elif sample.answer is not None:
            made = played(replace(sample, answer=_beside(sample.answer)))
        else:
            made = played(replace(sample, reference=_incomplete(sample)))
        said = f"I think I know. {made[0].content}".strip()
        return (replace(made[0], content=said), *made[1:])


def _job(sample: Sample) -> Job:
    return job_of(sample.world)


def _beside(answer: str) -> str:
    """Return a wrong answer that looks like the right one."""
    hours, colon, minutes = answer.partition(":")
    if colon and hours.isdigit():
        return f"{(int(hours) + 1) % 24:02d}:{minutes}"
    try:
        return f"{float(answer) + 1:g}"
    except ValueError:
        return f"not {answer}"


def _incomplete(sample: Sample) -> tuple[ReferenceCall, ...]:
    """Return the reference without the calls from the last one that matters."""
    job = _job(sample)
    for length in range(len(sample.reference) - 1, 0, -1):
        calls = sample.reference[:length]
        end, _ = play(job.operations, job.settled(sample.start_state), calls)
        if not same(end, sample.end_state):
            return calls
    return ()
