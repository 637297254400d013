"""The user's servers for one attempt at a time: started or connected, set, asked and left."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import TextResourceContents
from msgspec import Struct

from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.servers.http import HttpServer
from qbench.benchmarks.servers.process import ServerProcess, Timeouts
from qbench.benchmarks.servers.seats import ROOT, inward
from qbench.benchmarks.servers.tools import call_client, choose, spec_of, unknown
from qbench.benchmarks.suite import Sample, ToolBox, ToolResult
from qbench.benchmarks.suites.served.definition import Call, Read, Server
from qbench.errors import ConfigError, ToolServerError


class Line(Struct, frozen=True):
    """A connection to one server."""

    process: ServerProcess
    client: Client


class ServedToolBox:
    """Tools of the user's servers."""

    def __init__(
        self, lines: Mapping[str, Line], specs: Mapping[str, ToolSpec], sample: Sample, folder: Path
    ) -> None:
        self._lines = lines
        """By name of the tool."""
        self._servers = tuple({id(line): line for line in lines.values()}.values())
        self._folder = folder
        self._reads = [msgspec.convert(one, Read) for one in sample.details["reads"]]
        self.specs = choose(specs, sample.every_tool)
        self._names = frozenset(spec.name for spec in self.specs)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool. Raises ToolServerError when the server hangs or dies."""
        if name not in self._names:
            return unknown(name, self.specs)
        return await self.ask(name, arguments)

    async def ask(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool, offered or not. Raises ToolServerError, ConfigError."""
        if name not in self._lines:
            raise ConfigError(
                f"No MCP server has the tool {name} that the suite calls.",
                hint=f"Known: {', '.join(sorted(self._lines))}.",
            )
        line = self._lines[name]
        answer = call_client(line.client, name, inward(arguments, self._folder))
        said = await line.process.ask(name, line.process.timeouts.call, answer)
        return ToolResult(text=said.text.replace(str(self._folder), ROOT), is_error=said.is_error)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Make the looks that the suite asks for. Raises ToolServerError."""
        del answer
        return {"reads": [await self._look(read) for read in self._reads]}

    async def _look(self, read: Read) -> Any:
        if read.file:
            path = self._folder / read.file
            text = await asyncio.to_thread(_text_of, path)
            return _value(text) if text is not None else {"missing": read.file}
        if read.resource:
            return _value(await self._resource(read.resource))
        said = await self.ask(read.call, read.arguments)
        return {"error": said.text} if said.is_error else _value(said.text)

    async def _resource(self, uri: str) -> str:
        """Read a resource from the first server that has it."""
        for line in self._servers:
            limit = line.process.timeouts.reset
            parts = await line.process.ask("a resource", limit, _read(line.client, uri))
            if parts is not None:
                return parts
        raise ToolServerError(
            f"No MCP server has the resource {uri}.", hint="Check expect.state of the suite."
        )


async def _read(client: Client, uri: str) -> str | None:
    try:
        read = await client.read_resource(uri)
    except MCPError:
        return None
    return "".join(part.text for part in read.contents if isinstance(part, TextResourceContents))


def _text_of(path: Path) -> str | None:
    return path.read_text(errors="replace") if path.is_file() else None


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text.strip()


class ServedEnvironment:
    """At most ``slots`` attempts at a time, each with servers started for it alone."""

    def __init__(
        self, servers: Mapping[str, Server], slots: int, *, timeouts: Timeouts | None = None
    ) -> None:
        self._servers = servers
        self._timeouts = timeouts or Timeouts()
        self._free = asyncio.Semaphore(slots)
        self._each = {
            name: asyncio.Semaphore(server.at_once)
            for name, server in servers.items()
            if server.at_once
        }

    @asynccontextmanager
    async def open(self, sample: Sample) -> AsyncIterator[ToolBox]:
        """Start or connect the servers for one attempt, in a folder of its own.

        Raises:
            ToolServerError: a server did not start, or a call that sets the state failed.
            ConfigError: two servers have a tool of the same name, or none has one that is named.

        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._free)
            for limit in self._each.values():
                await stack.enter_async_context(limit)
            made = tempfile.TemporaryDirectory(prefix="qbench-own-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made)).resolve()  # noqa: ASYNC240 - a name, no file
            await asyncio.to_thread(_write, folder, sample.start_state["files"])
            lines, specs = await self._start(stack, folder)
            box = ServedToolBox(lines, specs, sample, folder)
            await _set(box, [msgspec.convert(one, Call) for one in sample.details["before"]])
            yield box

    async def _start(
        self, stack: AsyncExitStack, folder: Path
    ) -> tuple[dict[str, Line], dict[str, ToolSpec]]:
        lines: dict[str, Line] = {}
        specs: dict[str, ToolSpec] = {}
        for name, server in self._servers.items():
            process = ServerProcess(connection(server, folder), self._timeouts)
            stack.push_async_callback(process.stop)
            line = Line(process, await process.start())
            limit = self._timeouts.list
            listed = await process.ask("tools/list", limit, line.client.list_tools())
            for tool in listed.tools:
                if tool.name in lines:
                    raise ConfigError(
                        f"Two MCP servers have a tool {tool.name}; the second is {name}.",
                        hint="Give each server a suite of its own.",
                    )
                lines[tool.name], specs[tool.name] = line, spec_of(tool)
        return lines, specs


def connection(server: Server, folder: Path) -> StdioServerParameters | HttpServer:
    """Say how a server is reached. Raises ConfigError when a variable that it needs is not set."""
    if server.url:
        return HttpServer(url=server.url, token_variable=server.token)
    missing = [name for name in server.variables if name not in os.environ]
    if missing:
        raise ConfigError(
            f"The MCP server {server.words[0]} needs ${missing[0]}, which is not set.",
            hint="Set it where qbench runs.",
        )
    command, *arguments = [word.replace("{folder}", str(folder)) for word in server.words]
    given = {name: os.environ[name] for name in server.variables}
    written = {name: value.replace("{folder}", str(folder)) for name, value in server.env.items()}
    return StdioServerParameters(command=command, args=arguments, env=given | written, cwd=folder)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


async def _set(box: ServedToolBox, calls: Sequence[Call]) -> None:
    for made in calls:
        said = await box.ask(made.call, made.arguments)
        if said.is_error:
            raise ToolServerError(
                f"The state could not be set: {made.call} said {said.text[:200]!r}.",
                hint="Check `before` of the task.",
            )
