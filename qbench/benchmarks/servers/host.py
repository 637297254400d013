"""A process that serves any world over stdio and is reset for each attempt.

Run as ``python -m qbench.benchmarks.servers.host [NAME=MODULE:ATTRIBUTE ...]``; the arguments add
worlds to those that qbench ships. Importing the MCP SDK costs 0.7 s of CPU and building a
world's server about 1.5 ms per tool, so a host lives for a whole run and keeps the servers it
has built. The tool ``world_reset`` and the resource ``world://state`` belong to the benchmark:
the client never offers them to a model.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import msgspec
from mcp.server import Server, ServerRequestContext
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextContent,
    TextResourceContents,
    Tool,
)

from qbench.benchmarks.servers.world import OverState, OwnState, Served, State, World
from qbench.errors import NotFound, QbenchError

RESET = "world_reset"
STATE_URI = "world://state"
_RESET_TOOL = Tool(
    name=RESET,
    description="Activate a world with a start state.",
    input_schema={
        "type": "object",
        "properties": {"world": {"type": "string"}, "state": {"type": "object"}},
        "required": ["world", "state"],
    },
)
_Context = ServerRequestContext[Any]
_LONGEST_LINE = 2**26


class Host:
    """Servers of the worlds used so far, one of them active."""

    def __init__(self, worlds: Mapping[str, str]) -> None:
        self._places = worlds
        self._built: dict[str, Served] = {}
        self._active: Served | None = None

    def reset(self, world: str, state: State) -> None:
        """Make ``world`` the active one, with a copy of ``state`` in place of its own."""
        if world not in self._built:
            found = find_world(world, self._places)
            self._built[world] = found.serve() if isinstance(found, OwnState) else OverState(found)
        self._active = self._built[world]
        self._active.reset(state)

    async def list_tools(
        self, _context: _Context, _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """List the active world's tools and the reset."""
        tools = await self._active.list_tools() if self._active else []
        return ListToolsResult(tools=[_RESET_TOOL, *tools])

    async def call_tool(
        self, _context: _Context, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Reset, or pass the call on to the active world."""
        arguments = params.arguments or {}
        if params.name == RESET:
            return self._answer_reset(arguments)
        if self._active is None:
            return _failed(f"No world is active: call {RESET} first.")
        try:
            return await self._active.call_tool(params.name, arguments)
        except ToolError as error:
            return _failed(str(error))

    def _answer_reset(self, arguments: dict[str, Any]) -> CallToolResult:
        try:
            self.reset(arguments["world"], arguments["state"])
        except (KeyError, QbenchError) as error:
            return _failed(str(error))
        return CallToolResult(content=[TextContent(type="text", text=str(os.getpid()))])

    async def read_state(
        self, _context: _Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """Return the active world's state as JSON."""
        state = self._active.state() if self._active else None
        text = msgspec.json.encode(state).decode()
        contents = TextResourceContents(uri=params.uri, text=text, mime_type="application/json")
        return ReadResourceResult(contents=[contents])


def find_world(name: str, places: Mapping[str, str]) -> World | OwnState:
    """Import the world called ``name`` from its ``module:attribute``. Raises NotFound."""
    if name not in places:
        raise NotFound.among("world", name, places)
    module, _, attribute = places[name].partition(":")
    return cast("World | OwnState", getattr(importlib.import_module(module), attribute))


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


class _Stdin:
    """Lines of stdin, read by the event loop: the SDK's own reader costs a thread hop a line."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._reader.readline():
            yield line.decode("utf-8", "replace")
        os._exit(0)  # the client is gone: a tool that still runs must not keep this process


class _Stdout:
    """Writes what the pipe takes, blocking: the client reads all the time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, text: str) -> None:
        left = text.encode()
        while left:
            left = left[os.write(self._descriptor, left) :]

    async def flush(self) -> None:
        """Do nothing: nothing is buffered."""


async def _stdin() -> _Stdin:
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return _Stdin(reader)


def _stdout() -> _Stdout:
    """Take stdout for the protocol; what a tool prints goes to stderr."""
    wire = os.dup(1)
    os.dup2(2, 1)
    return _Stdout(wire)


async def serve(host: Host) -> None:
    """Serve ``host`` over stdin and stdout until stdin ends, then end the process."""
    server: Server[Any] = Server(
        "qbench-world-host",
        on_list_tools=host.list_tools,
        on_call_tool=host.call_tool,
        on_read_resource=host.read_state,
    )
    files = cast("Any", await _stdin()), cast("Any", _stdout())  # the parts of AsyncFile in use
    async with stdio_server(*files) as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main() -> None:
    """Serve the worlds named in the arguments."""
    places = dict(item.split("=", 1) for item in sys.argv[1:])
    asyncio.run(serve(Host(places)))


if __name__ == "__main__":
    main()
