"""Servers of others, each with a folder of its own: filled, leased, read and emptied.

A seat is one server process and one folder. The server is started once, for that folder, and
serves one attempt after another; between them the folder is emptied and filled again. The model
never sees the folder's real name: it is ``/data`` in every argument and result, so that the same
sample reads the same on any machine and in any seat.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from mcp import Client, StdioServerParameters
from msgspec import Struct

from qbench.benchmarks.chat import ToolSpec
from qbench.benchmarks.servers.process import ServerProcess, Timeouts
from qbench.benchmarks.servers.tools import call_client, choose, spec_of, unknown
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suite import Sample, ToolBox, ToolResult
from qbench.errors import NotFound, ToolServerError

ROOT = "/data"
"""What the folder is called towards the model."""


class Room(Struct, frozen=True, kw_only=True):
    """The folders of one seat."""

    data: Path
    """The attempt's world; ``/data`` to the model."""
    home: Path
    """HOME and TMPDIR of the server."""
    pid_file: Path
    """Where the launcher notes the server's process id."""


class Place(Protocol):
    """How the servers behind one kind of world are started, and their state is made and read."""

    def command(self, room: Room) -> StdioServerParameters:
        """Say how to start a server that works in ``room``. Raises ConfigError."""
        ...

    def fill(self, data: Path, state: State) -> None:
        """Put ``state`` into the empty folder ``data``. Raises OSError."""
        ...

    def read(self, data: Path) -> State | None:
        """Read the state back, without the server; None where it keeps none. Raises OSError."""
        ...

    def refuse(self, name: str, arguments: dict[str, Any]) -> str:
        """Say why a call must not reach the server; empty when it may."""
        ...


class _Seat:
    """A server process with its folder."""

    def __init__(self, world: str, place: Place, timeouts: Timeouts) -> None:
        self.world = world
        self.ready = False
        """Whether the sample that it is leased for could be set up."""
        self._place, self._timeouts = place, timeouts
        self._home = tempfile.TemporaryDirectory(prefix="qbench-seat-", ignore_cleanup_errors=True)
        top = Path(self._home.name).resolve()
        self.room = Room(data=top / "data", home=top / "home", pid_file=top / "pid")
        for folder in (self.room.data, self.room.home):
            folder.mkdir()
        self.process = ServerProcess(place.command(self.room), timeouts)
        self._client: Client | None = None
        self._specs: dict[str, ToolSpec] = {}

    async def prepare(self, sample: Sample) -> _SeatToolBox:
        """Fill the folder with the sample's start state, starting the server the first time."""
        self.ready = False
        await asyncio.to_thread(self._fill, sample)
        if self._client is None:
            self._client = await self.process.start()
            with suppress(OSError, ValueError):
                self.process.group = int(self.room.pid_file.read_text())
            listed = await self.process.ask(
                "tools/list", self._timeouts.list, self._client.list_tools()
            )
            self._specs = {tool.name: spec_of(tool) for tool in listed.tools}
        specs = choose(self._specs, sample.every_tool)
        self.ready = True
        return _SeatToolBox(self.process, self._client, specs, self.room.data, self._place)

    def _fill(self, sample: Sample) -> None:
        try:
            for folder in (self.room.data, self.room.home):
                for path in folder.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            self._place.fill(self.room.data, sample.start_state)
        except OSError as error:
            raise ToolServerError(
                f"The world of {sample.id} could not be set up: {error}.",
                hint="Check that the disk of temporary files has room.",
            ) from error

    async def end(self) -> None:
        """Stop the process and remove the folder."""
        await self.process.stop()
        await asyncio.to_thread(self._home.cleanup)


class _SeatToolBox:
    """Tools of a leased seat."""

    def __init__(
        self,
        process: ServerProcess,
        client: Client,
        specs: tuple[ToolSpec, ...],
        data: Path,
        place: Place,
    ) -> None:
        self._process, self._client, self._place = process, client, place
        self._data = data
        self.specs = specs
        self._names = frozenset(spec.name for spec in specs)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run a tool. Raises ToolServerError when the server hangs or dies."""
        if name not in self._names:
            return unknown(name, self.specs)
        refusal = self._place.refuse(name, arguments)
        if refusal:
            return ToolResult(text=refusal, is_error=True)
        answer = call_client(self._client, name, inward(arguments, self._data))
        said = await self._process.ask(name, self._process.timeouts.call, answer)
        return ToolResult(text=said.text.replace(str(self._data), ROOT), is_error=said.is_error)

    async def end_state(self, answer: str = "") -> dict[str, Any] | None:
        """Read the world from disk. Raises ToolServerError."""
        del answer
        try:
            return await asyncio.to_thread(self._place.read, self._data)
        except (OSError, ValueError) as error:
            raise ToolServerError(
                f"The state that the tools left cannot be read: {error}.",
                hint="The attempt will be run again on resume.",
            ) from error


def inward(value: Any, folder: Path) -> Any:
    """Put ``folder`` in the place of ``/data`` in a JSON value, keys excepted."""
    if isinstance(value, str):
        below = value == ROOT or value.startswith(f"{ROOT}/")
        return f"{folder}{value.removeprefix(ROOT)}" if below else value
    if isinstance(value, list):
        return [inward(part, folder) for part in value]
    if isinstance(value, dict):
        return {key: inward(part, folder) for key, part in value.items()}
    return value


class SeatPool:
    """At most ``slots`` servers, started when needed and kept between attempts.

    An environment. ``places`` maps names of worlds to where they are served.
    """

    def __init__(
        self, slots: int, places: Mapping[str, Place], *, timeouts: Timeouts | None = None
    ) -> None:
        self._free = asyncio.Semaphore(slots)
        self._slots, self._leased = slots, 0
        self._places = places
        self._timeouts = timeouts or Timeouts()
        self._idle: list[_Seat] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for seat in self._idle:
            self._end(seat)
        self._idle.clear()
        if self._ending:
            await asyncio.wait(self._ending)

    @asynccontextmanager
    async def open(self, sample: Sample) -> AsyncIterator[ToolBox]:
        """Lease a seat for one attempt, filled with the sample's start state.

        Raises:
            ToolServerError: the server did not start or its folder could not be filled; the next
                lease gets another.

        """
        async with self._free:
            seat = self._seat(sample.world)
            self._leased += 1
            try:
                yield await seat.prepare(sample)
            finally:
                self._leased -= 1
                self._give_back(seat)

    def _seat(self, world: str) -> _Seat:
        """Take an idle seat of ``world``, or make one; one of another world may have to go."""
        for seat in [seat for seat in self._idle if seat.process.broken]:
            self._drop(seat)
        same = next((seat for seat in self._idle if seat.world == world), None)
        if same is not None:
            self._idle.remove(same)
            return same
        if world not in self._places:
            raise NotFound.among("world", world, self._places)
        if self._idle and len(self._idle) + self._leased >= self._slots:
            self._drop(self._idle[0])
        return _Seat(world, self._places[world], self._timeouts)

    def _drop(self, seat: _Seat) -> None:
        self._idle.remove(seat)
        self._end(seat)

    def _give_back(self, seat: _Seat) -> None:
        if seat.process.broken or not seat.ready:
            self._end(seat)
        else:
            self._idle.append(seat)

    def _end(self, seat: _Seat) -> None:
        """Stop ``seat`` in the background: a hung server takes seconds to end."""
        task = asyncio.create_task(seat.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
