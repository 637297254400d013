"""Way: what carries a strategy out, and the attempt that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.agent.loop import AttemptFailed
from qbench.benchmarks.strategy import Option, Other, Strategy
from qbench.benchmarks.suite import Suite
from qbench.benchmarks.transcript import Transcript
from qbench.errors import EngineError, ToolServerError


class Way(Protocol):
    """Carries a strategy out. The strategy modules have one each; they keep no state."""

    name: str
    version: str
    """Of prompts and procedure: a change of either is another strategy."""
    description: str
    number: int
    """Default of ``n``; 0 where the strategy takes no number."""
    options: Mapping[str, Option]
    """Option names with their defaults, which also say the type."""
    sampled: bool
    """Draws several answers that should differ: a temperature of 0 would draw one."""
    alike: bool
    """Its candidates are independent draws of one kind, so that pass@k has a meaning."""

    def calls(self, strategy: Strategy) -> int:
        """Return how many paths an attempt takes at most: what a budget must reckon with."""
        ...

    def others(self, strategy: Strategy) -> tuple[Other, ...]:
        """Return the other models it asks, and how often at most."""
        ...

    def caveat(self, strategy: Strategy) -> str:
        """Say what a reader of its numbers must know; empty for nothing."""
        ...

    def runs_code(self, strategy: Strategy) -> bool:
        """Say whether it runs what the model writes, which takes a sandbox."""
        ...

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Say why the strategy makes no sense for ``suite``; empty when it does."""
        ...

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Make an attempt; return the accepted paths, the one that answers last.

        Raises:
            EngineError, ToolServerError: infrastructure failed.

        """
        ...


async def make_attempt(way: Way, asking: Asking) -> Transcript:
    """Let ``way`` make an attempt.

    Raises:
        AttemptFailed: the engine or a tool server failed; the transcript has what was spent.

    """
    try:
        accepted = await way.make(asking)
    except (EngineError, ToolServerError) as cause:
        raise AttemptFailed(asking.transcript(), cause) from cause
    return asking.transcript(accepted)
