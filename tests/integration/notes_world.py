"""A small world with well-behaved and misbehaving tools, for hosts that run in a process."""

import os
import time

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from qbench.benchmarks.servers.world import State


class NotesWorld:
    name = "notes"

    def server(self, state: State) -> MCPServer:
        server = MCPServer("notes")

        @server.tool()
        def add_note(title: str, text: str = "") -> str:
            """Write a note down."""
            if title in state["notes"]:
                raise ToolError(f"There is already a note {title}.")
            state["notes"][title] = text
            return f"Noted {title}."

        @server.tool()
        def list_notes() -> list[str]:
            """List the titles of all notes."""
            return sorted(state["notes"])

        @server.tool()
        def hang() -> str:
            """Block for a long time."""
            time.sleep(600)
            return "late"

        @server.tool()
        def crash() -> str:
            """End the process."""
            os._exit(17)

        return server


class EmptyWorld:
    name = "empty"

    def server(self, state: State) -> MCPServer:
        server = MCPServer("empty")

        @server.tool()
        def add_note(note: int) -> int:
            """Add a number under the same tool name as in the other world."""
            state["sum"] = state.get("sum", 0) + note
            return int(state["sum"])

        return server


NOTES = NotesWorld()
EMPTY = EmptyWorld()
