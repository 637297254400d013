"""agent: a planner and an executor, with limits and a memory (Efficient Agents, arXiv 2508.02694).

``steps``: the executor's model calls. ``plan``: a plan is made before every so many of them.
``memory=simple``: the executor sees all that was said; ``summary``: the last exchange and a summary
of what was before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import Chat, ChatRequest, Message, Turn
from qbench.benchmarks.strategies.revising import LONGEST, RESULT, asked
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Strategy, option
from qbench.benchmarks.suite import Suite

MEMORIES = ("simple", "summary")

PLAN = """\
Task:
{task}

Tools: {tools}

Done so far:
{done}

Write a plan for the next steps, one short line each. Do not carry it out."""

SUMMARY = """\
Task:
{task}

Done so far:
{done}

Summarise what was done and found, in few words. Keep every name and number that may be needed."""


class Agent(Single):
    """The way."""

    name = "agent"
    version = "1"
    description = "a plan every few steps, carried out with a bounded number of steps"
    options: Mapping[str, Option] = {"steps": 8, "plan": 1, "memory": "simple"}

    def calls(self, strategy: Strategy) -> int:
        """Return the executor, the plans and the summaries."""
        steps, every = (int(option(self, strategy, key)) for key in ("steps", "plan"))
        summaries = steps - 1 if option(self, strategy, "memory") == "summary" else 0
        return 1 + -(-steps // every) + summaries

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse no steps, no interval and a memory that there is not."""
        del suite
        if min(int(option(self, strategy, key)) for key in ("steps", "plan")) < 1:
            return "steps and plan must be at least 1"
        memory = option(self, strategy, "memory")
        return "" if memory in MEMORIES else f"there is no memory {memory!r} (simple or summary)"

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Carry the sample out in one world, planning on the way."""
        strategy, made = asking.strategy, asking.means.options
        limits = replace(made.limits, turns=int(option(self, strategy, "steps")))
        beside: list[int] = []

        def planned(chat: Chat, number: int) -> Chat:
            every = int(option(self, strategy, "plan"))
            summarised = option(self, strategy, "memory") == "summary"
            return Planned(asking, chat, number, beside, every=every, summarised=summarised)

        done = await asking.path(options=replace(made, limits=limits), through=planned)
        return (*beside, done)


class Planned:
    """What the executor asks, with a plan, and its memory where it is summarised.

    ``beside`` takes the paths of plans and summaries, which ran inside path ``number``.
    """

    def __init__(
        self,
        asking: Asking,
        chat: Chat,
        number: int,
        beside: list[int],
        *,
        every: int,
        summarised: bool,
    ) -> None:
        self._asking, self._chat, self._number, self._beside = asking, chat, number, beside
        self._every, self._summarised = every, summarised
        self._step, self._head = 0, 0
        self._plan, self._summary = "", ""

    async def reply(self, request: ChatRequest) -> Turn:
        """Plan where it is time, then ask."""
        if not self._step:
            self._head = len(request.messages)
        done = request.messages[self._head :]
        if self._summarised and done:
            self._summary = await self._beside_it("summary", SUMMARY, request, done)
        if self._step % self._every == 0:
            self._plan = await self._beside_it("plan", PLAN, request, done)
        self._step += 1
        return await self._chat.reply(replace(request, messages=self._shown(request.messages)))

    async def _beside_it(
        self, role: str, ask: str, request: ChatRequest, done: Sequence[Message]
    ) -> str:
        text = ask.format(
            task=asked(self._asking.sample),
            tools=", ".join(f"{spec.name} ({spec.description})" for spec in request.tools) or "-",
            done=_told(self._kept(done), self._summary),
        )
        said = [Message(role="user", content=text)]
        path = await self._asking.call(said, role=role, inside=self._number)
        self._beside.append(path)
        return self._asking.answer(path)

    def _kept(self, done: Sequence[Message]) -> Sequence[Message]:
        """Return what the executor still sees of its own messages."""
        if not self._summarised:
            return done
        last = max((n for n, one in enumerate(done) if one.role == "assistant"), default=0)
        return done[last:]

    def _shown(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        *before, prompt = messages[: self._head]
        parts = [prompt.content, f"Plan:\n{self._plan}"]
        if self._summary:
            parts.append(f"Done before:\n{self._summary}")
        asked_now = replace(prompt, content="\n\n".join(parts))
        return (*before, asked_now, *self._kept(messages[self._head :]))


def _told(done: Sequence[Message], summary: str) -> str:
    lines = [f"before: {summary}"] if summary else []
    for message in done:
        lines += [f"call: {call.name}({call.arguments})" for call in message.tool_calls]
        if message.content:
            lines.append(f"{message.role}: {message.content[:RESULT]}")
    return "\n".join(lines)[-LONGEST:] or "nothing"
