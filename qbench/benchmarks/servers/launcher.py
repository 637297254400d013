"""Starts world hosts by forking one process that has imported the MCP SDK already.

Sixteen hosts on two cores would otherwise spend some thirteen seconds of CPU importing the same
modules. A client still starts a command and speaks MCP over its stdio: the command is
``shim``, which passes its descriptors on to here. Each host is a process and a process group
of its own and dies alone.

Run as ``python -m qbench.benchmarks.servers.launcher SOCKET [NAME=MODULE:ATTRIBUTE ...]``; it ends
when its stdin does.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mcp import StdioServerParameters

from qbench.benchmarks.servers import shim
from qbench.benchmarks.servers.host import Host, find_world, serve
from qbench.errors import ToolServerError

READY = b"ready\n"
START_S = 60.0


class Launcher:
    """The forking process, seen from the pool that uses it."""

    def __init__(self, worlds: Mapping[str, str]) -> None:
        self._worlds = [f"{name}={place}" for name, place in worlds.items()]
        self._folder = tempfile.TemporaryDirectory(prefix="qbench-")
        self._socket = str(Path(self._folder.name) / "hosts")
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()

    async def params(self) -> StdioServerParameters:
        """Return the command that makes a host, starting the launcher when it is not there.

        Raises:
            ToolServerError: it did not come up.

        """
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                self._process = await self._start()
        args = ["-S", "-E", str(Path(shim.__file__)), self._socket]
        return StdioServerParameters(command=sys.executable, args=args)

    async def _start(self) -> asyncio.subprocess.Process:
        with suppress(FileNotFoundError):
            os.unlink(self._socket)  # noqa: PTH108 - a blocking Path method is no better here
        command = [sys.executable, "-m", __name__, self._socket, *self._worlds]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            await _ready(process)
        except BaseException as error:  # a start that is given up must not leave a process
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
            if not isinstance(error, TimeoutError | EOFError):
                raise
            raise ToolServerError(
                "The launcher of the worlds' servers did not start.",
                hint=f"Run it by hand to see why: {' '.join(command)}",
            ) from None
        return process

    async def close(self) -> None:
        """End the launcher; hosts end with their own stdin."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()
        self._folder.cleanup()


async def _ready(process: asyncio.subprocess.Process) -> None:
    """Wait for its first line. Raises TimeoutError, EOFError."""
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        if await process.stdout.readline() != READY:
            raise EOFError


def main() -> None:
    """Import what hosts need, then fork one for every shim that calls."""
    places = dict(item.split("=", 1) for item in sys.argv[2:])
    for name in places:
        find_world(name, places)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the hosts
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(sys.argv[1])
        listener.listen(128)
        os.write(1, READY)
        while True:
            heard, _, _ = select.select([listener.fileno(), 0], [], [])
            if 0 in heard:  # our parent is gone
                return
            line, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become_host(line, places)
            line.close()


def _become_host(line: socket.socket, places: Mapping[str, str]) -> None:
    """Serve on the descriptors that the shim sends; never returns."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(line, 1, 3)
    for wanted, given in enumerate(descriptors):
        os.dup2(given, wanted)
        os.close(given)
    status = 1
    try:
        asyncio.run(serve(Host(places)))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
