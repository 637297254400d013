"""World: the state that a sample's tools change, and the server that offers the tools."""

from __future__ import annotations

from typing import Any, Protocol

from mcp.server import MCPServer

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
