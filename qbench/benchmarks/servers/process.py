"""One MCP server, a process or at a URL: started, asked with a time limit, left when it fails."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Awaitable
from contextlib import suppress
from typing import TextIO, TypeVar

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client import Transport
from mcp.client.stdio import stdio_client
from msgspec import Struct
from pydantic import ValidationError

from qbench.benchmarks.servers.http import HTTP_FAILURES, HttpServer, http_client
from qbench.errors import ToolServerError

T = TypeVar("T")
_FAILURES = (
    MCPError,
    ValidationError,
    RuntimeError,  # how the SDK reports a result that breaks the tool's own output schema
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    OSError,
    *HTTP_FAILURES,
)
_LOG_TAIL = 2_000


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds that a server may take."""

    connect: float = 20.0
    """Process start and handshake."""
    list: float = 10.0
    call: float = 30.0
    reset: float = 10.0
    """Also reading the end state."""


class ServerProcess:
    """An MCP server that speaks stdio or streamable HTTP, owned by a task of its own.

    The SDK opens cancel scopes that must be left by the task that entered them, so an owner task
    enters and leaves the client and waits in between, while any task may send requests through
    ``ask``. After a failure ``broken`` is set and the process is not used again.
    """

    def __init__(self, params: StdioServerParameters | HttpServer, timeouts: Timeouts) -> None:
        self._params = params
        self.name = _name(params)
        self.timeouts = timeouts
        self._stopping = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._owner: asyncio.Task[None] | None = None
        self.group = 0
        """Process group to kill, when the server told its process id; 0 for unknown."""
        self.broken = False
        self.log = ""
        """The last lines of the server's stderr, once it has ended."""

    async def start(self) -> Client:
        """Start the process and shake hands. Raises ToolServerError."""
        self._owner = asyncio.create_task(self._own(), name=f"mcp {self.name}")
        try:
            async with asyncio.timeout(self.timeouts.connect):
                return await asyncio.shield(self._ready)
        except (TimeoutError, *_FAILURES) as error:
            await self.stop()
            raise self._error("did not start", error) from error
        except BaseException:
            await self.stop()
            raise

    async def _own(self) -> None:
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            try:
                async with Client(self._transport(log), cache=None) as client:
                    self._ready.set_result(client)
                    await self._stopping.wait()
            except Exception as error:  # noqa: BLE001 - handed to whoever waits for the start
                if not self._ready.done():
                    self._ready.set_exception(_first(error))
                    self._ready.exception()  # nobody may be waiting any more
            finally:
                self.broken = True
                self.log = _tail(log)

    def _transport(self, log: TextIO) -> Transport:
        if isinstance(self._params, HttpServer):
            return http_client(self._params)
        return stdio_client(self._params, errlog=log)

    async def ask(self, what: str, seconds: float, answer: Awaitable[T]) -> T:
        """Wait for ``answer`` at most ``seconds``; a failure condemns the process.

        Raises:
            ToolServerError: ``what`` failed or took too long.

        """
        try:
            async with asyncio.timeout(seconds) as scope:
                return await answer
        except (TimeoutError, *_FAILURES) as error:
            self._condemn()
            late = isinstance(error, TimeoutError) and scope.expired()
            said = f"did not answer {what} within {seconds:g} s" if late else f"failed at {what}"
            raise self._error(said, error) from error
        except BaseException:
            self._condemn()  # cancelled with the answer still to come
            raise

    def _condemn(self) -> None:
        """Kill at once where the process is known; the owner's exit does the rest."""
        self.broken = True
        if self.group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, signal.SIGKILL)
        self._stopping.set()

    async def stop(self) -> None:
        """End the process and wait until it is gone."""
        self._stopping.set()
        if self._owner is None:
            return
        if not self._ready.done():
            self._owner.cancel()
        await asyncio.wait([self._owner])

    def _error(self, said: str, cause: BaseException) -> ToolServerError:
        why = f" ({cause})" if str(cause) else ""
        log = f" Its last words: {self.log}" if self.log else ""
        return ToolServerError(
            f"The MCP server {self.name!r} {said}{why}.{log}",
            hint="The attempt will be run again on resume.",
        )


def _name(params: StdioServerParameters | HttpServer) -> str:
    if isinstance(params, HttpServer):
        return params.url
    return " ".join([params.command, *params.args])


def _first(error: Exception) -> Exception:
    """Unwrap the exception groups of the SDK's task groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _tail(log: TextIO) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - _LOG_TAIL))
    return log.read().strip()
