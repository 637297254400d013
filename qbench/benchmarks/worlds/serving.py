"""The worlds as real MCP servers: each operation becomes a tool that changes the state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from qbench.benchmarks.servers.world import State
from qbench.benchmarks.worlds import calendar, files, inventory, ledger, tickets
from qbench.benchmarks.worlds.cases import Office, Operation, Refused


class OfficeWorld:
    """The world of an office."""

    def __init__(self, office: Office) -> None:
        self.name = office.name
        self._operations = office.operations

    def server(self, state: State) -> MCPServer:
        """Build the server; its tools read and change ``state`` when they are called."""
        server = MCPServer(self.name)
        for name, operation in self._operations.items():
            server.add_tool(tool_of(operation, state), name=name, description=operation.__doc__)
        return server


def tool_of(operation: Operation, state: State) -> Callable[..., Coroutine[Any, Any, str]]:
    """Bind an operation to a state, with the signature that a model is to see."""

    async def tool(**arguments: Any) -> str:
        try:
            return operation(state, **arguments)
        except Refused as refused:
            raise ToolError(str(refused)) from None

    whole = inspect.signature(operation, eval_str=True)
    seen = [part for name, part in whole.parameters.items() if name != "state"]
    tool.__signature__ = whole.replace(parameters=seen)  # type: ignore[attr-defined]
    tool.__annotations__ = {part.name: part.annotation for part in seen} | {"return": str}
    tool.__name__ = operation.__name__
    return tool


CALENDAR = OfficeWorld(calendar.OFFICE)
INVENTORY = OfficeWorld(inventory.OFFICE)
LEDGER = OfficeWorld(ledger.OFFICE)
TICKETS = OfficeWorld(tickets.OFFICE)
FILES = OfficeWorld(files.OFFICE)
