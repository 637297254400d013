"""An engine's server process: started, watched, restarted, and ended with all its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path

import aiohttp
from msgspec import Struct

from qbench.errors import EngineStartError, EngineUnavailable
from qbench.workers.engines import Say, leash

TAIL_LINES = 15
MANY_LINES = 2000
LEASH = Path(leash.__file__)


_gpus: ContextVar[dict[str, str]] = ContextVar("gpus", default={})  # noqa: B039 - never changed


def own_gpus() -> tuple[str, ...] | None:
    """Return the GPUs that servers started by this task see; None: all there are."""
    told = _gpus.get().get("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if told is None:
        return None
    return tuple(part.strip() for part in told.split(",") if part.strip())


@contextmanager
def visible_gpus(numbers: str) -> Iterator[None]:
    """Let servers started by this task see only these GPUs (``0,1``); empty: all there are.

    They are counted as the driver counts them; CUDA alone would put the fastest first.
    """
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    token = _gpus.set({"CUDA_VISIBLE_DEVICES": numbers, **order} if numbers else {})
    try:
        yield
    finally:
        _gpus.reset(token)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _nothing(_: Sequence[str]) -> str:
    return ""


class ServerCommand(Struct, frozen=True, kw_only=True):
    """What to start and how to know that it is up."""

    name: str
    """For messages, for example ``vllm``."""
    argv: Sequence[str]
    root_url: str
    """Without a path, for example ``http://127.0.0.1:8123``."""
    env: Mapping[str, str] = {}
    """Added to this process's environment."""
    health: str = "/health"
    start_s: float = 120.0
    """Longest wait for health."""
    stop_s: float = 10.0
    """Wait after SIGTERM before SIGKILL."""
    restarts: int = 0
    """How often a server that dies while serving is started again."""
    explain: Callable[[Sequence[str]], str] = _nothing
    """Finds the reason of a failure in the log's lines; empty where it finds none."""
    log: Path | None = None
    """File for its output, appended to; None: a temporary file, removed after a clean end."""
    marks: Mapping[str, str] = {}
    """Names of moments of a start, and the words in the log that tell each."""

    @property
    def line(self) -> str:
        """The command as one could type it."""
        return shlex.join(self.argv)


class ServerProcess:
    """A server in a session of its own. Use ``running``, which starts and stops it."""

    def __init__(self, command: ServerCommand, log: Path, say: Say) -> None:
        self.command = command
        self.log = log
        self.load_s = 0.0
        """From start to healthy, restarts included."""
        self.restarted = 0
        self.marks: dict[str, float] = {}
        """Seconds from the first start to each of the command's marks that was seen."""
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._healthy = asyncio.Event()
        self._failure: EngineUnavailable | None = None

    @property
    def group(self) -> int:
        """Process group (and session) id of the server; 0 before it starts."""
        return self._process.pid if self._process else 0

    def tail(self, lines: int = TAIL_LINES) -> list[str]:
        """Return the last lines of its output."""
        return _last_lines(self.log, lines)

    async def ready(self) -> None:
        """Wait until it is healthy; the hook for ``OpenAIChat``.

        Raises:
            EngineUnavailable: it died and is not started again.

        """
        if not self._healthy.is_set():
            await self._healthy.wait()
        if self._failure is not None:
            raise self._failure

    async def start(self) -> None:
        """Start it and wait for health. Raises EngineStartError."""
        began = time.perf_counter()
        seen = self.log.stat().st_size if self.log.exists() else 0
        await self._spawn()
        await self._await_health(began + self.command.start_s, lambda: self._mark(began, seen))
        self.load_s += time.perf_counter() - began
        self._healthy.set()

    async def stop(self) -> None:
        """End its whole process group: SIGTERM, a while, SIGKILL; return when none is left."""
        await self._reap()
        self._failure = EngineUnavailable(f"{self.command.name} was stopped.", hint="Start anew.")
        self._healthy.set()

    async def _reap(self) -> None:
        self._healthy.clear()
        process, self._process = self._process, None
        if process is not None:
            await _end_group(process.pid, self.command.stop_s)
            await process.wait()

    async def watch(self) -> None:
        """Start it again whenever it dies, as often as allowed; runs until cancelled."""
        while self._process is not None:
            status = await self._process.wait()
            self._healthy.clear()
            said = f"{self.command.name} died ({_ended(status)})"
            if self.restarted >= self.command.restarts:
                self._give_up(f"{said}.")
                return
            self.restarted += 1
            self._say(f"{said}; starting it again ({self.restarted}/{self.command.restarts})")
            await self._reap()
            try:
                await self.start()
            except EngineStartError as error:
                self._give_up(f"{said} and did not start again: {error.what}")
                return

    def _give_up(self, said: str) -> None:
        tail = "\n  ".join(self.tail())
        self._failure = EngineUnavailable(
            f"{said}{self._why()} Its last output:\n  {tail}\n",
            hint=f"See {self.log}; resume the run to start it afresh.",
        )
        self._healthy.set()  # lets everybody who waits in ready() see the failure
        self._say(said)

    async def _spawn(self) -> None:
        wrapped = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *self.command.argv]
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *wrapped,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **_gpus.get(), **self.command.env},
                start_new_session=True,
            )

    def _mark(self, began: float, seen: int) -> None:
        """Note which marks the log has reached; ``seen`` is where this start's log begins."""
        wanted = self.command.marks.keys() - self.marks.keys()
        if not wanted or self.restarted:
            return
        with self.log.open("rb") as log:
            log.seek(seen)
            text = log.read().decode(errors="replace")
        for name in wanted:
            if self.command.marks[name] in text:
                self.marks[name] = time.perf_counter() - began

    async def _await_health(self, deadline: float, look: Callable[[], None]) -> None:
        assert self._process is not None
        url = self.command.root_url + self.command.health
        said_at, pause = time.perf_counter(), 0.05
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                look()
                if self._process.returncode is not None:
                    raise self._start_error(_ended(self._process.returncode))
                if await _answers(session, url) and self._process.returncode is None:
                    return
                now = time.perf_counter()
                if now > deadline:
                    raise self._start_error(f"not healthy after {self.command.start_s:g} s")
                if now - said_at > 10:
                    said_at = now
                    last = "".join(self.tail(1))[:100]
                    self._say(f"{self.command.name} is starting" + (f": {last}" if last else ""))
                await asyncio.sleep(pause)
                pause = min(0.5, pause * 1.5)

    def _why(self) -> str:
        reason = self.command.explain(self.tail(MANY_LINES))
        return f" {reason}" if reason else ""

    def _start_error(self, how: str) -> EngineStartError:
        tail = "\n  ".join(self.tail()) or "(no output)"
        return EngineStartError(
            f"{self.command.name} did not start: {how}.{self._why()}\n  {self.command.line}\n"
            f"Its last output:\n  {tail}\n",
            hint=f"Run the command by hand, or read the whole log: {self.log}.",
        )


@asynccontextmanager
async def running(command: ServerCommand, *, say: Say) -> AsyncIterator[ServerProcess]:
    """Start ``command``, yield it healthy and watched, and end all of its processes.

    Raises:
        EngineStartError: with the command, its exit status and its last lines of output.

    """
    log = command.log or _temporary_log(command.name)
    server = ServerProcess(command, log, say)
    try:
        await server.start()
        watcher = asyncio.create_task(server.watch())
        try:
            yield server
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
    finally:
        await asyncio.shield(server.stop())
    if command.log is None and not server.restarted:
        log.unlink(missing_ok=True)


def _temporary_log(name: str) -> Path:
    handle, path = tempfile.mkstemp(prefix=f"qbench-{name}-", suffix=".log")
    os.close(handle)
    return Path(path)


def _ended(status: int) -> str:
    """Say an exit status; a signal is told as 128 + its number by the leash."""
    number = -status if status < 0 else status - 128
    if number in set(signal.Signals):
        return f"killed by {signal.Signals(number).name}"
    return f"exit code {status}"


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def _end_group(group: int, grace_s: float) -> None:
    for number, patience in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 30.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        deadline = time.monotonic() + patience
        while group_members(group):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        else:
            return


def group_members(group: int) -> list[int]:
    """Return the living processes of a group; zombies that nobody reaps are not among them."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():  # not Linux: ask the kernel without the list
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return []
        return [group]
    return [pid for pid, (state, of) in _states(proc).items() if of == group and state not in "ZX"]


def _states(proc: Path) -> dict[int, tuple[str, int]]:
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # "pid (name) state ppid pgrp ...", and the name may contain anything
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                found[int(entry.name)] = (fields[0], int(fields[2]))
    return found


def _last_lines(path: Path, count: int) -> list[str]:
    with path.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 256 * 1024))
        return log.read().decode(errors="replace").splitlines()[-count:]
