"""The small engine for demos, tests and laptops: our own server, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from qbench import __version__
from qbench.benchmarks.chat import ChatRequest, Turn
from qbench.errors import EngineStartError, QbenchError
from qbench.service.domain import Endpoint, EngineSeconds, System, new_id
from qbench.workers.engines import Say
from qbench.workers.engines.embedded_weights import (
    EmbeddedOptions,
    Weights,
    find_weights,
    refuse_weights,
)
from qbench.workers.engines.openai_chat import ClientSettings, OpenAIChat
from qbench.workers.engines.process import ServerCommand, ServerProcess, free_port, running
from qbench.workers.hardware import this_machine
from qbench.workers.limiter import FixedLimit, Gate

RESTARTS = 1
"""How often a server that dies while it serves is started again."""

PATIENCE_S = 3600.0
NEEDED = ("torch", "transformers", "llguidance", "gguf")


class Patient:
    """Asks a server that is watched anyway: a slow CPU is no fault, a dead process is noticed.

    How long an attempt may take is the agent's limit, which is the model's to keep.
    """

    def __init__(self, chat: OpenAIChat) -> None:
        self._chat = chat

    async def reply(self, request: ChatRequest) -> Turn:
        """Answer as ``OpenAIChat`` does, however long it takes."""
        return await self._chat.reply(msgspec.structs.replace(request, timeout_s=PATIENCE_S))


class EmbeddedServing:
    """An embedded server that is up."""

    def __init__(self, endpoint: Endpoint, chat: OpenAIChat, server: ServerProcess) -> None:
        self.endpoint = endpoint
        self.chat = Patient(chat)
        self._server = server
        self._last = EngineSeconds(load=server.load_s)

    async def seconds(self) -> EngineSeconds:
        """Ask the server how it spent its time; the last reading when it does not answer."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, KeyError):
            found = await metrics(self._server.command.root_url)
            spent = msgspec.convert(found["seconds"], EngineSeconds)
            self._last = msgspec.structs.replace(spent, load=self._server.load_s)
        return self._last


class EmbeddedEngine:
    """Serves a causal language model in any Format that the kernels know."""

    def refuse(self, system: System) -> str:
        """Say what is missing or wrong."""
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            return (
                f"The embedded engine needs {', '.join(missing)}. Install it with "
                "`pip install 'qbench[local]'`."
            )
        try:
            return refuse_weights(system, EmbeddedOptions.of(system))
        except QbenchError as error:
            return str(error)

    @asynccontextmanager
    async def serve(
        self, system: System, *, concurrency: int, say: Say
    ) -> AsyncIterator[EmbeddedServing]:
        """Find the weights, start the server, yield it, stop it."""
        options = EmbeddedOptions.of(system)
        weights = await asyncio.to_thread(find_weights, system, options, say)
        command = _command(system, options, weights, concurrency)
        say(f"loading {system.label}")
        started = datetime.now(UTC)
        async with (
            running(command, say=say) as server,
            OpenAIChat(
                f"{command.root_url}/v1",
                system.model,
                gate=Gate(FixedLimit(concurrency)),
                settings=ClientSettings(stream=False),
                ready=server.ready,
            ) as chat,
        ):
            found = await metrics(command.root_url)
            endpoint = _endpoint(system, weights, server, found, started)
            yield EmbeddedServing(endpoint, chat, server)


def _command(
    system: System, options: EmbeddedOptions, weights: Weights, concurrency: int
) -> ServerCommand:
    port = free_port()
    given = {
        "checkpoint": weights.checkpoint.path,
        "format": system.format,
        "name": system.model,
        "port": port,
        "concurrency": concurrency,
        "context": options.context,
        "device": options.device,
        "threads": options.threads,
    }
    argv = [sys.executable, "-m", "qbench.workers.embedded"]
    argv += [part for key, value in given.items() for part in (f"--{key}", str(value)) if value]
    argv += [f"--{key}" for key in ("emulate", "eager") if getattr(options, key)]
    return ServerCommand(
        name="embedded",
        argv=tuple(argv),
        root_url=f"http://127.0.0.1:{port}",
        start_s=300.0,
        stop_s=10.0,
        restarts=RESTARTS,
    )


async def metrics(root_url: str) -> dict[str, Any]:
    """Read a server's own account of itself."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.get(f"{root_url}/metrics.json") as response,
    ):
        if response.status != 200:
            raise EngineStartError(
                f"The embedded server's metrics answer {response.status}.",
                hint="Run the same command again.",
            )
        found: dict[str, Any] = msgspec.json.decode(await response.read())
        return found


def _endpoint(
    system: System,
    weights: Weights,
    server: ServerProcess,
    found: dict[str, Any],
    started: datetime,
) -> Endpoint:
    machine = this_machine(gpu=found["device"] != "cpu")
    kept = ("bits_per_weight", "weight_bytes", "peak_memory_bytes")
    return Endpoint(
        id=new_id(),
        run_id="",
        engine_key=system.engine_key,
        base_url=server.command.root_url,
        seconds=EngineSeconds(load=server.load_s),
        served_name=system.model,
        started_at=started,
        hardware=machine.name,
        architecture=machine.architecture,
        format_requested=system.format,
        format_effective=", ".join(filter(None, (found["effective"], weights.made))),
        checkpoint=weights.told,
        kernel=found["kernel"],
        path=found["path"],
        engine_version=f"qbench {__version__} embedded",
        details={"revision": weights.checkpoint.revision} | {name: found[name] for name in kept},
    )
