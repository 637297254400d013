"""pdr@width: parallel drafts, distilled into a bounded workspace, refined (arXiv 2510.01123).

Rounds of ``width`` drafts, each round reading the workspace that the one before left, and one last
answer. The workspace is at most ``workspace`` tokens: the distilling call may write no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.chat import Message
from qbench.benchmarks.strategies.majority import warm
from qbench.benchmarks.strategies.revising import asked, told
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.strategy import Option, Strategy, option
from qbench.benchmarks.suite import Sample, Suite

DISTIL = """\
Task:
{task}

Drafts by several people:
{drafts}

Write notes for the next round, in few words: what the drafts agree on, where they contradict each \
other and who is right, what is missing. Do not write a final answer."""

NOTED = """\
{prompt}

Notes on earlier drafts:
{notes}

Work on the task from the start with these notes in mind; they may be wrong. Answer in the form \
that was asked for."""


class ParallelDistilRefine(Single):
    """The way."""

    name = "pdr"
    version = "1"
    description = "parallel drafts, distilled into a short workspace, refined, round by round"
    number = 4
    options: Mapping[str, Option] = {"rounds": 1, "workspace": 256, "temperature": 0.0}
    sampled = True

    def calls(self, strategy: Strategy) -> int:
        """Return the drafts and a distillation of every round, and the last answer."""
        return int(option(self, strategy, "rounds")) * (strategy.n + 1) + 1

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse no rounds and no room."""
        del suite
        least = min(int(option(self, strategy, key)) for key in ("rounds", "workspace"))
        return "" if least >= 1 else "rounds and workspace must be at least 1"

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Draft, distil, round by round; then answer."""
        strategy, sample = asking.strategy, asking.sample
        sampling = warm(asking, float(option(self, strategy, "temperature")))
        waited: list[int] = []
        for _ in range(int(option(self, strategy, "rounds"))):
            ways = (asking.path(sample, sampling=sampling) for _ in range(strategy.n))
            drafts = sorted(await asking.together(*ways))
            notes = await self._distilled(asking, drafts)
            waited += [longest(asking, drafts), notes]
            sample = noted(asking.sample, asking.answer(notes))
        return (*waited, await asking.path(sample, sampling=sampling))

    async def _distilled(self, asking: Asking, drafts: Sequence[int]) -> int:
        parts = [f"Draft {n}:\n{told(asking.candidate(d))}" for n, d in enumerate(drafts, 1)]
        text = DISTIL.format(task=asked(asking.sample), drafts="\n\n".join(parts))
        room = int(option(self, asking.strategy, "workspace"))
        bounded = replace(asking.means.options.sampling, max_tokens=room)
        said = [Message(role="user", content=text)]
        return await asking.call(said, role="distillation", sampling=bounded)


def noted(sample: Sample, notes: str) -> Sample:
    """Ask a sample with notes from earlier drafts."""
    return replace(sample, prompt=NOTED.format(prompt=sample.prompt, notes=notes))


def longest(asking: Asking, drafts: Sequence[int]) -> int:
    """Return the draft that one has to wait for: the one with most tokens, else most text."""

    def size(draft: int) -> tuple[int, int]:
        made = asking.candidate(draft)
        return made.usage.completion_tokens if made.usage else 0, len(made.written)

    return max(drafts, key=size)
