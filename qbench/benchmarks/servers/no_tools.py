"""The environment of suites without tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.suite import Environment, Sample, ToolResult


class _NoTools:
    """Offers nothing, to any number of attempts at once."""

    specs: tuple[ToolSpec, ...] = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        return None

    def open(self, sample: Sample) -> AbstractAsyncContextManager[_NoTools]:
        """Lease nothing: all attempts share this object."""
        del sample
        return self

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Refuse any call."""
        del arguments
        return ToolResult(text=f"There is no tool named {name!r}.", is_error=True)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Return None: there is no world."""
        del answer
        return None


NO_TOOLS = _NoTools()


@asynccontextmanager
async def no_tools() -> AsyncIterator[Environment]:
    """Yield an environment that starts nothing."""
    yield NO_TOOLS
