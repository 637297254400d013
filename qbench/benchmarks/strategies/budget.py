"""budget: thinking with a bounded number of tokens, then an answer (s1, arXiv 2501.19393).

Over chat completions thinking is text that is asked for: a first call may write ``thinking`` tokens
and is cut there; where it ends before ``least`` tokens it is told to wait, and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import Message
from qbench.benchmarks.strategies.revising import asked
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Strategy, option
from qbench.benchmarks.suite import Suite

THINK = """\
{task}

Think about this in writing, step by step. Do not give the final answer yet: you will be asked for \
it."""
WAIT = "Wait. Go on thinking: check what you have so far, and look for mistakes."
ANSWER = """\
{prompt}

Your thinking so far:
{thinking}

The time for thinking is over. Give the final answer now, in the form that was asked for."""


class Budget(Single):
    """The way."""

    name = "budget"
    version = "1"
    description = "a bounded number of tokens to think in, then an answer"
    options: Mapping[str, Option] = {"thinking": 256, "least": 0, "waits": 2}

    def calls(self, strategy: Strategy) -> int:
        """Return the thinking, as often as it may be told to wait, and the answer."""
        return 2 + (self._waits(strategy))

    def _waits(self, strategy: Strategy) -> int:
        return int(option(self, strategy, "waits")) if option(self, strategy, "least") else 0

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse budgets that cannot be kept."""
        del suite
        most, least = (int(option(self, strategy, key)) for key in ("thinking", "least"))
        if most < 1 or not 0 <= least <= most or int(option(self, strategy, "waits")) < 0:
            return "thinking must be at least 1, and least between 0 and thinking"
        return ""

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Think, wait where it was too short, answer."""
        thoughts = await self._thoughts(asking)
        thinking = "\n".join(asking.answer(one) for one in thoughts)
        prompt = ANSWER.format(prompt=asking.sample.prompt, thinking=thinking)
        return (*thoughts, await asking.path(replace(asking.sample, prompt=prompt)))

    async def _thoughts(self, asking: Asking) -> list[int]:
        """Think; a call whose usage is unknown is never told to wait."""
        strategy = asking.strategy
        left, least = (int(option(self, strategy, key)) for key in ("thinking", "least"))
        said = [Message(role="user", content=THINK.format(task=asked(asking.sample)))]
        made: list[int] = []
        for _ in range(1 + self._waits(strategy)):
            bounded = replace(asking.means.options.sampling, max_tokens=left)
            made.append(await asking.call(said, role="thinking", sampling=bounded))
            usage = asking.candidate(made[-1]).usage
            written = usage.completion_tokens if usage else left
            left, least = left - written, least - written
            if left <= 0 or least <= 0:
                break
            said.append(Message(role="assistant", content=asking.answer(made[-1])))
            said.append(Message(role="user", content=WAIT))
        return made
