"""BFCL's back-ends as a world: one MCP server with the tools of all eight of them.

A start state names the classes that take part, their scenarios, and whether the scenario is
filled up to a long context. The names of the tools differ between classes, so one list of tools
serves every sample; a tool of a class that takes no part answers with an error.
"""

from __future__ import annotations

from typing import Any

from mcp.types import CallToolResult, TextContent, Tool

from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.bfcl.backends import Scene
from qbench.benchmarks.suites.bfcl.records import BACKENDS, descriptions
from qbench.benchmarks.suites.bfcl.tools import tool_specs


def scene_of(state: State) -> Scene:
    """Set up the back-ends of a start state."""
    return Scene(state["classes"], state["config"], long_context=state["long_context"])


class _Served:
    """The tools, over the back-ends of the attempt that is going on."""

    def __init__(self) -> None:
        functions = [one for name in BACKENDS for one in descriptions(name)]
        self._tools = [
            Tool(name=spec.name, description=spec.description, input_schema=spec.parameters)
            for spec in tool_specs(functions, "python")
        ]
        self._scene = Scene((), {})

    def reset(self, state: State) -> None:
        """Set up the back-ends anew."""
        self._scene = scene_of(state)

    def state(self) -> State:
        """Return what the back-ends' public attributes are now."""
        return self._scene.state()

    async def list_tools(self) -> list[Tool]:
        """List the tools of all classes."""
        return self._tools

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Run a method of a back-end."""
        text, failed = self._scene.call(name, arguments)
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=failed)


class Backends:
    """The world; see ``qbench.benchmarks.servers.world.OwnState``."""

    name = "bfcl"

    def serve(self) -> _Served:
        """Make a server that keeps objects instead of a JSON state."""
        return _Served()


BACKENDS_WORLD = Backends()
