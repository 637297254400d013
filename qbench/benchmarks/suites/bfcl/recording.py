"""Tools that note calls and run nothing, for questions whose calls are the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.servers.tools import ServerPool
from qbench.benchmarks.suite import Sample, ToolBox, ToolResult
from qbench.benchmarks.suites.bfcl.tools import tool_specs

NOTED = "Noted."


class Recorder:
    """The functions of a question; the agent loop keeps what was called."""

    def __init__(self, specs: tuple[ToolSpec, ...]) -> None:
        self.specs = specs

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run nothing."""
        del name, arguments
        return ToolResult(text=NOTED)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Return None: there is no world."""
        del answer
        return None


class Servers:
    """Opens a recorder for questions of one reply, a server process for those of many turns."""

    def __init__(self, pool: ServerPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def open(self, sample: Sample) -> AsyncIterator[ToolBox]:
        """Lease what the sample needs. Raises ToolServerError."""
        if sample.world:
            async with self._pool.open(sample) as tools:
                yield tools
            return
        expected = sample.details["expected"]
        yield Recorder(tool_specs(expected["functions"], expected["language"]))
