"""single: one chain of calls, as the model gives it."""

from __future__ import annotations

from collections.abc import Mapping

from qbench.benchmarks.agent.asking import Asking
from qbench.benchmarks.strategy import Option, Other, Strategy
from qbench.benchmarks.suite import Suite


class Single:
    """The way; other ways say what they do otherwise."""

    name: str = "single"
    version: str = ""
    description: str = "one answer, as the model gives it"
    number: int = 0
    options: Mapping[str, Option] = {}
    sampled: bool = False
    alike: bool = False

    def calls(self, strategy: Strategy) -> int:
        """Return 1."""
        del strategy
        return 1

    def others(self, strategy: Strategy) -> tuple[Other, ...]:
        """Ask no other model."""
        del strategy
        return ()

    def caveat(self, strategy: Strategy) -> str:
        """Add nothing."""
        del strategy
        return ""

    def runs_code(self, strategy: Strategy) -> bool:
        """Run nothing."""
        del strategy
        return False

    def refuse(self, strategy: Strategy, suite: Suite) -> str:
        """Refuse nothing."""
        del strategy, suite
        return ""

    async def make(self, asking: Asking) -> tuple[int, ...]:
        """Ask once."""
        return (await asking.path(),)
