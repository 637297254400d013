"""Tool use over real MCP servers: five offices, five levels, checked by their end state."""

from __future__ import annotations

import importlib
import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from qbench.benchmarks.chat import Message, ToolCall
from qbench.benchmarks.scoring.check import check
from qbench.benchmarks.servers.tools import ServerPool
from qbench.benchmarks.suite import Environment, Sample, Score
from qbench.benchmarks.suites.drawing import named, places
from qbench.benchmarks.suites.playing import called, played
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.worlds.cases import Case, Kind, Office, Shown, drawn, play

WORLDS = {
    name: f"qbench.benchmarks.worlds.serving:{name.upper()}"
    for name in ("calendar", "inventory", "ledger", "tickets", "files")
}
"""What the servers' processes import."""

NO_CALL_SHARE = 0.15
"""Of the samples above level 1: those where the right move is to call nothing."""

NEEDLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "calendar": ("list_events", {"day": "Monday"}),
    "inventory": ("list_items", {}),
    "ledger": ("list_accounts", {}),
    "tickets": ("list_tickets", {"status": "open"}),
    "files": ("list_folders", {}),
}
"""A call that runs in any state of a world and changes nothing."""

SYSTEM_1 = "Call the one function that does what the user says."
SYSTEM = (
    "You work in an office through tools. Do exactly what the user asks, with as few calls as it "
    "takes, and nothing else. When a tool refuses, read why and find another way. When no tool "
    "is needed, answer without one. End with a short answer; when asked for a value, give it in "
    "the last line."
)


@cache
def office(name: str) -> Office:
    """Import the module of a world."""
    return cast("Office", importlib.import_module(f"qbench.benchmarks.worlds.{name}").OFFICE)


class McpSuite:
    """The suite."""

    name = "mcp"
    version = "1"
    tasks = tuple(WORLDS)
    levels = (1, 2, 3, 4, 5)
    description = "Tool use over real MCP servers, from one obvious call to many steps"
    license = "own"
    generated = True
    further_tasks: tuple[str, ...] = ()
    tokens = 131_072

    def samples(
        self, *, seed: int, tasks: Sequence[str], levels: Sequence[int], limit: int
    ) -> tuple[Sample, ...]:
        """Generate samples; see ``Suite.samples``."""
        return tuple(
            named(draw(seed, task, level, number), number)
            for task, level, number in places(tasks, levels, limit)
        )

    def environment(self, *, slots: int) -> AbstractAsyncContextManager[Environment]:
        """Serve the worlds from at most ``slots`` processes."""
        return ServerPool(slots, WORLDS)

    def score(self, sample: Sample, transcript: Transcript) -> Score:
        """Judge by end state and answer."""
        return check(sample, transcript, scorer=f"mcp/{self.version}")

    def solution(self, sample: Sample) -> tuple[Message, ...]:
        """Make the reference's calls, then answer."""
        return played(sample)

    def blunder(self, sample: Sample) -> tuple[Message, ...]:
        """Do nothing, or where nothing is to be done call a tool."""
        if sample.reference:
            return (Message(role="assistant", content="I cannot say."),)
        return (called(0, *NEEDLESS[sample.world]), Message(role="assistant", content="Done."))


def draw(seed: int, task: str, level: int, number: int) -> Sample:
    """Draw one sample, still without an id."""
    rng = drawn("mcp", seed, task, level, number)
    world = office(task)
    if level == 1:
        return _one_call(rng, world, number)
    idle = rng.random() < NO_CALL_SHARE
    kinds = world.no_call if idle else world.levels[level]
    kind = rng.choice(kinds)
    sample = _sample(world, level, kind, kind.make(rng))
    tools = list(kind.tools or world.operations)
    rng.shuffle(tools)
    return replace(sample, system=SYSTEM, tools=tuple(tools))


def _one_call(rng: random.Random, world: Office, number: int) -> Sample:
    """Draw a sample of level 1: a forced call, few tools, a worked example for each of them."""
    kinds = world.levels[1]
    kind = kinds[number % len(kinds)]
    tools = rng.choice([tools for tools in world.tool_sets if kind.tools[0] in tools])
    sample = _sample(world, 1, kind, kind.make(rng))
    return replace(
        sample,
        system=SYSTEM_1,
        tools=tools,
        tool_choice="required",
        max_calls=1,
        examples=examples(world, tools),
    )


def _sample(world: Office, level: int, kind: Kind, case: Case) -> Sample:
    end_state, _ = play(world.operations, case.state, case.calls)
    return Sample(
        id="",
        suite="mcp",
        task=world.name,
        level=level,
        family=f"{world.name}/{kind.name}",
        prompt=case.request,
        world=world.name,
        start_state=case.state,
        end_state=end_state,
        answer=case.answer,
        reference=case.calls,
    )


def examples(world: Office, tools: Sequence[str]) -> tuple[Message, ...]:
    """Return the worked examples of ``tools`` as a conversation."""
    shown = [one for one in world.shown if one.call.name in tools]
    return tuple(message for number, one in enumerate(shown) for message in _shown(one, number))


def _shown(one: Shown, number: int) -> tuple[Message, ...]:
    arguments = msgspec.json.encode(one.call.arguments).decode()
    made = ToolCall(id=f"example_{number}", name=one.call.name, arguments=arguments)
    return (
        Message(role="user", content=one.request),
        Message(role="assistant", tool_calls=(made,)),
        Message(role="tool", content=one.result, tool_call_id=made.id),
    )
