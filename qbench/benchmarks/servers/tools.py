"""Tools of real MCP servers, for the agent loop: pooled over stdio, or in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from types import TracebackType
from typing import Any, Self

import msgspec
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    CallToolResult,
    TextContent,
    TextResourceContents,
    Tool,
)

from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.servers.host import RESET, STATE_URI
from qbench.benchmarks.servers.http import HttpServer
from qbench.benchmarks.servers.launcher import Launcher
from qbench.benchmarks.servers.process import ServerProcess, Timeouts
from qbench.benchmarks.servers.world import World
from qbench.benchmarks.suite import Sample, ToolBox, ToolResult
from qbench.errors import NotFound, ToolServerError

_TRANSPORT_CODES = (CONNECTION_CLOSED, REQUEST_TIMEOUT)


def spec_of(tool: Tool) -> ToolSpec:
    """Return ``tool`` as it is offered to a model."""
    return ToolSpec(
        name=tool.name, description=tool.description or "", parameters=tool.input_schema
    )


def choose(specs: Mapping[str, ToolSpec], names: Sequence[str]) -> tuple[ToolSpec, ...]:
    """Return the specs called ``names``, in that order. Raises NotFound."""
    for name in names:
        if name not in specs:
            raise NotFound.among("tool", name, specs)
    return tuple(specs[name] for name in names)


def result_of(result: CallToolResult) -> ToolResult:
    """Return a tool's answer as text; what is no text is named by its kind."""
    parts = [
        item.text if isinstance(item, TextContent) else f"[{item.type}]" for item in result.content
    ]
    if not parts and result.structured_content is not None:
        parts = [msgspec.json.encode(result.structured_content).decode()]
    return ToolResult(text="\n".join(parts), is_error=bool(result.is_error))


async def call_client(client: Client, name: str, arguments: dict[str, Any]) -> ToolResult:
    """Call a tool. A protocol error that the server answered is a tool error; a lost one raises.

    Raises:
        MCPError: the connection was lost.

    """
    try:
        return result_of(await client.call_tool(name, arguments))
    except MCPError as error:
        if error.code in _TRANSPORT_CODES:
            raise
        return ToolResult(text=error.message, is_error=True)


def unknown(name: str, specs: Sequence[ToolSpec]) -> ToolResult:
    """Refuse a tool that is not offered; the server is not asked."""
    error = NotFound.among("tool", name, [spec.name for spec in specs])
    return ToolResult(text=f"Error: {error}", is_error=True)


class _ProcessToolBox:
    """Tools of a server process."""

    def __init__(
        self, process: ServerProcess, client: Client, specs: tuple[ToolSpec, ...], seconds: Timeouts
    ) -> None:
        self._process, self._client, self._seconds = process, client, seconds
        self.specs = specs
        self._names = frozenset(spec.name for spec in specs)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool. Raises ToolServerError when the server hangs or dies."""
        if name not in self._names:
            return unknown(name, self.specs)
        answer = call_client(self._client, name, arguments)
        return await self._process.ask(name, self._seconds.call, answer)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Return None: a server of others has no state that qbench knows."""
        del answer
        return None


class _WorldToolBox(_ProcessToolBox):
    """Tools of a world in a host process."""

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Read the world as it is now. Raises ToolServerError."""
        del answer
        reading = self._client.read_resource(STATE_URI)
        read = await self._process.ask("its state", self._seconds.reset, reading)
        text = "".join(
            part.text for part in read.contents if isinstance(part, TextResourceContents)
        )
        state: dict[str, Any] | None = msgspec.json.decode(text)
        return state


class _WorldHost:
    """A host process and the world that is active in it."""

    def __init__(self, params: StdioServerParameters, timeouts: Timeouts) -> None:
        self.process = ServerProcess(params, timeouts)
        self.world = ""
        self._timeouts = timeouts
        self._client: Client | None = None
        self._specs: dict[str, ToolSpec] = {}

    async def prepare(self, sample: Sample) -> _WorldToolBox:
        """Reset to the sample's start state; list the tools when the world is another one."""
        if self._client is None:
            self._client = await self.process.start()
            await self._list(self._client)
        await self._reset(self._client, sample)
        known = self._specs.keys() >= set(sample.every_tool)
        if self.world != sample.world or not known:
            await self._list(self._client)
            self.world = sample.world
        specs = choose(self._specs, sample.every_tool)
        return _WorldToolBox(self.process, self._client, specs, self._timeouts)

    async def _list(self, client: Client) -> None:
        listed = await self.process.ask("tools/list", self._timeouts.list, client.list_tools())
        self._specs = {tool.name: spec_of(tool) for tool in listed.tools if tool.name != RESET}

    async def _reset(self, client: Client, sample: Sample) -> None:
        arguments = {"world": sample.world, "state": sample.start_state}
        answer = call_client(client, RESET, arguments)
        result = await self.process.ask(RESET, self._timeouts.reset, answer)
        if result.is_error:
            raise ToolServerError(
                f"The world {sample.world!r} could not be started: {result.text}",
                hint="Check the sample's world and start state.",
            )
        self.process.group = int(result.text)


class ServerPool:
    """At most ``slots`` world hosts, started when needed and kept between attempts.

    An environment: ``async with ServerPool(16) as environment: ... environment.open(sample)``.
    ``worlds`` maps names of worlds to ``module:attribute``.
    """

    def __init__(
        self, slots: int, worlds: Mapping[str, str], *, timeouts: Timeouts | None = None
    ) -> None:
        self._free = asyncio.Semaphore(slots)
        self._timeouts = timeouts or Timeouts()
        self._idle: list[_WorldHost] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._launcher = Launcher(worlds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in self._idle:
            self._end(host)
        self._idle.clear()
        if self._ending:
            await asyncio.wait(self._ending)
        await self._launcher.close()

    @asynccontextmanager
    async def open(self, sample: Sample) -> AsyncIterator[ToolBox]:
        """Lease a host for one attempt, reset to the sample's start state.

        Raises:
            ToolServerError: the host did not start or did not reset; the next lease gets another.

        """
        async with self._free:
            host = self._idle_host(sample.world) or _WorldHost(
                await self._launcher.params(), self._timeouts
            )
            try:
                yield await host.prepare(sample)
            except BaseException:
                host.process.broken = host.process.broken or not host.world
                raise
            finally:
                self._give_back(host)

    def _idle_host(self, world: str) -> _WorldHost | None:
        """Take an idle host, one with the same world if there is one."""
        self._bury()
        if not self._idle:
            return None
        same = (at for at, host in enumerate(self._idle) if host.world == world)
        return self._idle.pop(next(same, len(self._idle) - 1))

    def _bury(self) -> None:
        """Drop hosts that died while nobody used them."""
        for host in [host for host in self._idle if host.process.broken]:
            self._idle.remove(host)
            self._end(host)

    def _give_back(self, host: _WorldHost) -> None:
        if host.process.broken:
            self._end(host)
        else:
            self._idle.append(host)

    def _end(self, host: _WorldHost) -> None:
        """Stop ``host`` in the background: a hung server takes seconds to end."""
        task = asyncio.create_task(host.process.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


@asynccontextmanager
async def connect(
    params: StdioServerParameters | HttpServer,
    tools: Sequence[str] = (),
    *,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[ToolBox]:
    """Start an MCP server, or reach one at a URL, and offer its ``tools``, by default all.

    Raises:
        ToolServerError: it did not start or list its tools.
        NotFound: it has no tool of that name.

    """
    seconds = timeouts or Timeouts()
    process = ServerProcess(params, seconds)
    client = await process.start()
    try:
        listed = await process.ask("tools/list", seconds.list, client.list_tools())
        specs = {tool.name: spec_of(tool) for tool in listed.tools}
        yield _ProcessToolBox(process, client, choose(specs, tools or tuple(specs)), seconds)
    finally:
        await process.stop()


class _MemoryToolBox:
    """Tools of a world in this process, reached through the SDK all the same."""

    def __init__(self, client: Client, specs: tuple[ToolSpec, ...], state: dict[str, Any]) -> None:
        self._client, self._state = client, state
        self.specs = specs

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool."""
        if name not in [spec.name for spec in self.specs]:
            return unknown(name, self.specs)
        return await call_client(self._client, name, arguments)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Copy the world as it is now."""
        del answer
        return deepcopy(self._state)


@asynccontextmanager
async def in_memory(world: World, sample: Sample) -> AsyncIterator[ToolBox]:
    """Open ``sample`` on a server of ``world`` in this process: no process, no JSON-RPC framing."""
    state = deepcopy(sample.start_state)
    async with Client(world.server(state), cache=None) as client:
        listed = await client.list_tools()
        specs = choose({tool.name: spec_of(tool) for tool in listed.tools}, sample.every_tool)
        yield _MemoryToolBox(client, specs, state)
