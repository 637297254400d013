"""single: one chain of calls, as the model gives it."""

from __future__ import annotations

from collections.abc import Mapping

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.strategy import Option, Strategy
from qbench.benchmarks.suite import Suite


class Single:
    """The way."""

    name = "single"
    version = ""
    description = "one answer, as the model gives it"
    number = 0
    options: Mapping[str, Option] = {}
    sampled = False

    def calls(self, strategy: Strategy) -> int:
        """Return 1."""
        del strategy
        return 1

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse nothing."""
        del strategy, suite
        return ""

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Ask once."""
        return (await asking.path(),)
