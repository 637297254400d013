"""cot: chain of thought, asked for in words (Kojima et al., arXiv 2205.11916: zero-shot)."""

from __future__ import annotations

from msgspec.structs import replace

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.strategies.single import Single
from qbench.benchmarks.suite import Sample

THINK = (
    "Think step by step first, in writing. Then give the final answer alone on the last line, "
    "in the form that was asked for."
)


class ChainOfThought(Single):
    """The way."""

    name = "cot"
    version = "1"
    description = "one answer, after thinking step by step in writing"

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Ask once, for the steps too."""
        return (await asking.path(thinking(asking.sample)),)


def thinking(sample: Sample) -> Sample:
    """Ask for the steps; worked examples that show none are left out, those with tools stay."""
    examples = sample.examples if sample.every_tool else ()
    return replace(sample, prompt=f"{sample.prompt}\n\n{THINK}", examples=examples)
