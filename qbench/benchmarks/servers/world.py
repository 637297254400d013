"""World: the state that a sample's tools change, and the server that offers the tools."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from mcp.server import MCPServer
from mcp.types import CallToolResult, InputRequiredResult, Tool

State = dict[str, Any]
"""JSON-able; a world's tools change it in place."""


class World(Protocol):
    """One kind of office: tools over a state."""

    name: str

    def server(self, state: State) -> MCPServer:
        """Build a real MCP server whose tools read and change ``state`` in place.

        A tool looks everything up in ``state`` when it is called and keeps nothing of it between
        calls: building a server costs about 1.5 ms per tool, so one server serves many attempts,
        and ``state`` is emptied and filled again between them.
        """
        ...


class Served(Protocol):
    """What a host serves: tools, over a state that can be set and read."""

    def reset(self, state: State) -> None:
        """Begin anew from a start state. Raises KeyError when it lacks something."""
        ...

    def state(self) -> State:
        """Return the state as it is now, as JSON."""
        ...

    async def list_tools(self) -> list[Tool]:
        """List the tools."""
        ...

    async def call_tool(
        self, name: str, arguments: dict[str, Any]
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool. Raises ToolError."""
        ...


@runtime_checkable
class OwnState(Protocol):
    """A world that keeps its state in objects of its own, not in a ``State``."""

    name: str

    def serve(self) -> Served:
        """Make what a host serves, for many attempts one after the other."""
        ...


class OverState:
    """A world's server over a state that it changes in place."""

    def __init__(self, world: World) -> None:
        self._state: State = {}
        server = world.server(self._state)
        self.list_tools, self.call_tool = server.list_tools, server.call_tool

    def reset(self, state: State) -> None:
        """Put ``state`` in place of what is there."""
        self._state.clear()
        self._state.update(state)

    def state(self) -> State:
        """Return the state itself."""
        return self._state
