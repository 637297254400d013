"""The records behind the tools, and the MCP server that offers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as Listed

from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.tools_at_scale.tools import Tool, universe
from qbench.benchmarks.worlds.cases import Refused

NAME = "records"
"""Of the world."""


def carry_out(state: State, tool: Tool, arguments: Mapping[str, Any]) -> str:
    """Call ``tool``: changes ``state["records"]`` in place and returns what it says.

    Raises:
        Refused: the tool was shut down, or there is no such record.

    """
    if tool.successor:
        raise Refused(f"{tool.name} was shut down. Use {tool.successor}.")
    if tool.verb.act == "add":
        return _add(state, tool, arguments)
    table = state["records"].get(tool.thing.name, {})
    if tool.verb.act == "find":
        return _find(tool, table, arguments)
    record = table.get(arguments["code"])
    if record is None:
        raise Refused(f"There is no {tool.thing.name} {arguments['code']}.")
    return _change(tool, table, record, arguments)


def _add(state: State, tool: Tool, arguments: Mapping[str, Any]) -> str:
    table = state["records"].setdefault(tool.thing.name, {})
    code = f"N{1 + sum(map(len, state['records'].values()))}"
    table[code] = {name: arguments[name] for name in tool.verb.takes} | _unit(tool)
    return f"{tool.thing.name} {code}: {_written(table[code])}"


def _find(tool: Tool, table: State, arguments: Mapping[str, Any]) -> str:
    (key,) = tool.verb.takes
    found = [code for code, record in table.items() if record.get(key) == arguments[key]]
    return ", ".join(found) or f"There is no {tool.thing.name} of {arguments[key]}."


def _change(tool: Tool, table: State, record: State, arguments: Mapping[str, Any]) -> str:
    code = arguments["code"]
    match tool.verb.act:
        case "read":
            return _written(record)
        case "remove":
            del table[code]
            return f"{tool.thing.name} {code} is gone."
        case "mark":
            record.update(tool.verb.sets)
        case "set":
            record.update({name: arguments[name] for name in tool.verb.takes} | _unit(tool))
        case _:
            (key,) = tool.verb.takes
            record[key] = [*record.get(key, []), arguments[key]]
    return f"{tool.thing.name} {code}: {_written(record)}"


def _unit(tool: Tool) -> dict[str, str]:
    return {"unit": tool.unit} if tool.unit else {}


def _written(record: State) -> str:
    return ", ".join(f"{key} {value}" for key, value in record.items())


class _Records(MCPServer):
    """A server whose tools are those that its state names: listing thousands costs nothing here."""

    def __init__(self, state: State) -> None:
        super().__init__(NAME)
        self._state = state

    async def list_tools(self) -> list[Listed]:
        """List the offered tools."""
        offered = (universe()[name].spec for name in self._state.get("offered", ()))
        return [
            Listed(name=one.name, description=one.description, input_schema=one.parameters)
            for one in offered
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult:
        """Call a tool. Raises ToolError."""
        del context
        if name not in self._state["offered"]:
            raise ToolError(f"There is no tool {name}.")
        try:
            text = carry_out(self._state, universe()[name], arguments)
        except (Refused, KeyError) as refused:
            raise ToolError(str(refused)) from None
        return CallToolResult(content=[TextContent(type="text", text=text)])


class RecordsWorld:
    """The world: ``state`` has ``offered``, names of tools, and ``records`` by object and code."""

    name = NAME

    def server(self, state: State) -> MCPServer:
        """Build the server; its tools are looked up in ``state`` when they are listed or called."""
        return _Records(state)


RECORDS = RecordsWorld()
