"""Asking: one attempt in the making, as a strategy sees it. All that it does is kept and counted.

A strategy asks along paths: a path is one chain of model calls, with tools and a fresh world of
its own (``path``) or a plain question (``say``). Limits hold for each path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from qbench.benchmarks.agent.loop import AgentOptions, Loop, Price
from qbench.benchmarks.chat import Chat, Message, Sampling, ToolSpec
from qbench.benchmarks.servers.no_tools import NO_TOOLS
from qbench.benchmarks.strategy import Strategy
from qbench.benchmarks.suite import Sample, Suite, ToolBox
from qbench.benchmarks.transcript import CANDIDATE, Path, Transcript

Open = Callable[[Sample], AbstractAsyncContextManager[ToolBox]]
"""Opens a fresh world."""
Watch = Callable[[Chat, ToolBox], tuple[Chat, ToolBox]]
"""Puts something between a path and what answers it, for example a tracer."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the attempts of one system are made with."""

    chat: Chat
    open_world: Open
    """Opens a fresh world for a path."""
    options: AgentOptions
    """Sampling and limits of each path."""
    suite: Suite | None = None
    """Whose sample it is: draws training samples, reads answers."""
    price: Price | None = None
    """Prices one model call."""
    value: Callable[[Sample, Transcript], float] | None = None
    """Judges a path as the suite would, 0 to 1: the perfect verifier, an upper bound."""
    others: Mapping[str, Chat] = field(default_factory=dict)
    """Chats of other models by role, for example ``judge``."""
    watch: Watch = lambda chat, tools: (chat, tools)
    """Wraps chat and tools of each path."""


class _Kept(Struct):
    role: str
    loop: Loop
    inside: int
    """The path within whose time it ran; -1 for one of its own."""


class Asking:
    """One attempt in the making: ``sample``, asked by ``strategy`` with ``means``."""

    def __init__(self, sample: Sample, strategy: Strategy, means: Means) -> None:
        self.sample, self.strategy, self.means = sample, strategy, means
        self._kept: list[_Kept] = []

    async def path(  # noqa: PLR0913 - each says one way in which a path may differ
        self,
        sample: Sample | None = None,
        *,
        role: str = CANDIDATE,
        sampling: Sampling | None = None,
        wrap: Callable[[ToolBox], ToolBox] | None = None,
        messages: Sequence[Message] = (),
        examples: tuple[Message, ...] = (),
        options: AgentOptions | None = None,
        through: Callable[[Chat, int], Chat] = lambda chat, _: chat,
        by: str = "",
    ) -> int:
        """Work on the sample, or a changed one, in a fresh world; return the path's number.

        Args:
            sample: in place of the attempt's, for example with another system text.
            role: what the path is for.
            sampling: in place of the system's.
            wrap: adds tools of the strategy's own.
            messages: what is said first, in place of system text, examples and prompt.
            examples: worked examples in place of the sample's own, shown in any case.
            options: limits of this path, in place of the system's.
            through: puts something between the model and the path of this number.
            by: role of another model in ``Means.others``; empty: the system's own.

        Raises:
            EngineError, ToolServerError: infrastructure failed.

        """
        asked = sample or self.sample
        made = self._options(options, sampling)
        if examples:
            asked, made = replace(asked, examples=examples), replace(made, examples=True)
        async with self.means.open_world(asked) as tools:
            box = wrap(tools) if wrap else tools
            return await self._run(
                role, asked, self._chat(by), box, made, messages=messages, through=through
            )

    def _chat(self, by: str) -> Chat:
        return self.means.others[by] if by else self.means.chat

    def _options(self, options: AgentOptions | None, sampling: Sampling | None) -> AgentOptions:
        made = options or self.means.options
        return replace(made, sampling=sampling) if sampling else made

    async def say(
        self,
        messages: Sequence[Message],
        *,
        role: str,
        sampling: Sampling | None = None,
        by: str = "",
    ) -> str:
        """Make one plain model call without tools and return its text.

        ``by``: role of another model in ``Means.others``; empty: the system's own.

        Raises:
            EngineError: infrastructure failed.

        """
        return self.answer(await self.call(messages, role=role, sampling=sampling, by=by))

    async def call(
        self,
        messages: Sequence[Message],
        *,
        role: str,
        sampling: Sampling | None = None,
        by: str = "",
        inside: int = -1,
    ) -> int:
        """Make one plain model call as ``say`` does; return the path's number.

        ``inside``: the path that waits for it meanwhile, so that its seconds are not counted twice.
        """
        plain = Sample(id=self.sample.id, suite="", task="", level=1, family="", prompt="")
        made = self._options(None, sampling)
        return await self._run(
            role, plain, self._chat(by), NO_TOOLS, made, messages=messages, inside=inside
        )

    async def _run(  # noqa: PLR0913 - what a path is made of
        self,
        role: str,
        sample: Sample,
        chat: Chat,
        tools: ToolBox,
        options: AgentOptions,
        *,
        messages: Sequence[Message],
        through: Callable[[Chat, int], Chat] = lambda chat, _: chat,
        inside: int = -1,
    ) -> int:
        number = len(self._kept)
        chat, tools = self.means.watch(through(chat, number), tools)
        options = replace(options, sampling=_seeded(options.sampling, number))
        loop = Loop(sample, chat, tools, options, price=self.means.price, messages=messages)
        self._kept.append(_Kept(role, loop, inside))
        await loop.run()
        return number

    async def together(self, *asked: Coroutine[Any, Any, int]) -> tuple[int, ...]:
        """Await several paths at once; when one fails the others are given up.

        Raises:
            EngineError, ToolServerError: infrastructure failed.

        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one) for one in asked]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return tuple(task.result() for task in tasks)

    def answer(self, number: int) -> str:
        """Return the final text of a path."""
        return self.candidate(number).answer

    def candidate(self, number: int) -> Transcript:
        """Return a path as if it had been the whole attempt."""
        return self._kept[number].loop.transcript()

    def specs(self, number: int) -> tuple[ToolSpec, ...]:
        """Return the tools that a path was offered."""
        return self._kept[number].loop.specs

    def transcript(self, accepted: Sequence[int] = ()) -> Transcript:
        """Return all that was said and done so far; ends as the last accepted path does."""
        parts = [kept.loop.transcript() for kept in self._kept]
        if len(parts) == 1 and self.strategy.name == "single":
            return parts[0]
        if not parts:
            return Transcript(messages=(), turns=())
        last = parts[accepted[-1]] if accepted else parts[-1]
        return replace(
            last,
            turns=tuple(turn for part in parts for turn in part.turns),
            tool_runs=_all_runs(parts),
            parse_failures=sum(part.parse_failures for part in parts),
            seconds=sum(parts[n].seconds for n in accepted if self._kept[n].inside not in accepted),
            paths=_paths([kept.role for kept in self._kept], parts),
            accepted=tuple(accepted),
        )


def _seeded(sampling: Sampling, number: int) -> Sampling:
    """Give each path a seed of its own where the system has one."""
    if sampling.seed is None or not number:
        return sampling
    return replace(sampling, seed=sampling.seed + number)


def _all_runs(parts: Sequence[Transcript]) -> tuple[Any, ...]:
    runs, before = [], 0
    for part in parts:
        runs += [replace(run, turn=run.turn + before) for run in part.tool_runs]
        before += len(part.turns)
    return tuple(runs)


def _paths(roles: Sequence[str], parts: Sequence[Transcript]) -> tuple[Path, ...]:
    paths, turns, runs = [], 0, 0
    for role, part in zip(roles, parts, strict=True):
        paths.append(_path(role, part, turns, runs))
        turns, runs = turns + len(part.turns), runs + len(part.tool_runs)
    return tuple(paths)


def _path(role: str, part: Transcript, turns: int, runs: int) -> Path:
    return Path(
        role=role,
        turns=tuple(range(turns, turns + len(part.turns))),
        tool_runs=tuple(range(runs, runs + len(part.tool_runs))),
        answer=part.answer,
        stop=part.stop,
        end_state=part.end_state,
        states=part.states,
        parse_failures=part.parse_failures,
        seconds=part.seconds,
    )
