"""What the tasks share: jobs with their real tools, and the samples drawn from them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.chat import Message, ToolCall
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suite import ReferenceCall, Sample
from qbench.benchmarks.worlds.cases import Case, Kind, Operation, drawn, play

SUITE = "mcp-servers"
NO_CALL_SHARE = 0.15
"""Of the samples above level 1: those where the right move is to call nothing."""
SYSTEM_1 = "Call the one function that does what the user says."
SYSTEM_1_ANSWER = (
    "Call the one function that finds what the user asks, then answer with the value alone."
)
SYSTEM = (
    "You work through tools. Do exactly what the user asks, with as few calls as it takes, and "
    "nothing else. When a tool refuses, read why and find another way. When no tool is needed, "
    "answer without one. End with a short answer; when asked for a value, give it in the last line."
)


class Example(Struct, frozen=True, kw_only=True):
    """A worked example: a request, the call that answers it and what the server said."""

    request: str
    call: ReferenceCall
    result: str
    answer: str = ""
    """Said at last, where a value was asked for."""


class Job(Struct, frozen=True, kw_only=True):
    """A task: one server's tools, and cases by level."""

    name: str
    tools: tuple[str, ...]
    """Offered from level 2 on. Left out are tools that reach beyond the attempt's folder, answer
    with the time of day, or take seconds on purpose."""
    operations: dict[str, Operation]
    """What the tools that change the state do to it, worked out without the server."""
    examples: tuple[Example, ...]
    """For level 1: one for each of its tools."""
    tool_sets: tuple[tuple[str, ...], ...]
    """What level 1 offers together."""
    levels: dict[int, tuple[Kind, ...]]
    no_call: tuple[Kind, ...]
    needless: ReferenceCall
    """A harmless call, which is wrong where none is due."""
    settled: Callable[[State], State] = dict
    """Turns a start state into the form in which a state is read back."""


def look(state: State, **arguments: Any) -> str:
    """Stand for a tool that changes nothing."""
    del state, arguments
    return ""


def draw(job: Job, seed: int, level: int, number: int) -> Sample:
    """Draw one sample, still without an id."""
    rng = drawn(SUITE, seed, job.name, level, number)
    if level == 1:
        return _one_call(rng, job, number)
    kinds = job.no_call if rng.random() < NO_CALL_SHARE else job.levels[level]
    kind = rng.choice(kinds)
    tools = list(job.tools)
    rng.shuffle(tools)
    sample = _sample(job, level, kind, kind.make(rng))
    return replace(sample, system=SYSTEM, tools=tuple(tools))


def _one_call(rng: random.Random, job: Job, number: int) -> Sample:
    """Draw a sample of level 1: a forced call, few tools, a worked example for each of them."""
    kinds = job.levels[1]
    kind = kinds[number % len(kinds)]
    tools = rng.choice([tools for tools in job.tool_sets if kind.tools[0] in tools])
    sample = _sample(job, 1, kind, kind.make(rng))
    return replace(
        sample,
        system=SYSTEM_1 if sample.answer is None else SYSTEM_1_ANSWER,
        tools=tools,
        tool_choice="required",
        max_calls=1,
        examples=shown(job, tools),
    )


def _sample(job: Job, level: int, kind: Kind, case: Case) -> Sample:
    end_state, _ = play(job.operations, job.settled(case.state), case.calls)
    return Sample(
        id="",
        suite=SUITE,
        task=job.name,
        level=level,
        family=f"{job.name}/{kind.name}",
        prompt=case.request,
        world=job.name,
        start_state=case.state,
        end_state=end_state or None,
        answer=case.answer,
        reference=case.calls,
    )


def shown(job: Job, tools: tuple[str, ...]) -> tuple[Message, ...]:
    """Return the worked examples of ``tools`` as a conversation."""
    chosen = [one for one in job.examples if one.call.name in tools]
    return tuple(message for number, one in enumerate(chosen) for message in _shown(one, number))


def _shown(one: Example, number: int) -> tuple[Message, ...]:
    arguments = msgspec.json.encode(one.call.arguments).decode()
    made = ToolCall(id=f"example_{number}", name=one.call.name, arguments=arguments)
    said = (Message(role="assistant", content=one.answer),) if one.answer else ()
    return (
        Message(role="user", content=one.request),
        Message(role="assistant", tool_calls=(made,)),
        Message(role="tool", content=one.result, tool_call_id=made.id),
        *said,
    )
