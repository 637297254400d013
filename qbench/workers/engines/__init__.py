"""Engines: what serves a Model in a Format. One protocol, one table, one network seam.

An engine module exposes a class with the three methods of ``Engine``; ``ENGINES`` is the only
place that names them, and ``load_engine`` the only place that imports them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

from qbench.benchmarks.chat import Chat
from qbench.errors import NotFound
from qbench.service.domain import Endpoint, EngineSeconds, System

Say = Callable[[str], None]
"""Takes one line of progress for the user."""


class Serving(Protocol):
    """A started engine."""

    @property
    def endpoint(self) -> Endpoint:
        """What was started: ``run_id`` is empty, the caller fills it."""
        ...

    @property
    def chat(self) -> Chat:
        """The seam. One object serves all attempts concurrently."""
        ...

    async def seconds(self) -> EngineSeconds:
        """How the engine spent its time so far; never raises, falls back to the last reading."""
        ...


class Engine(Protocol):
    """Starts and stops what answers for a System."""

    def refuse(self, system: System) -> str:
        """Say why ``system`` cannot run here, or return an empty string. Starts nothing."""
        ...

    def serve(
        self, system: System, *, concurrency: int, say: Say
    ) -> AbstractAsyncContextManager[Serving]:
        """Start, yield the serving engine, stop and reap it.

        Raises:
            EngineStartError: with the exact command and the last log lines.

        """
        ...


ENGINES = {
    "embedded": "qbench.workers.engines.embedded:EmbeddedEngine",
    "external": "qbench.workers.engines.external:ExternalEngine",
    "api": "qbench.workers.engines.api:ApiEngine",
    "scripted": "qbench.workers.engines.scripted:ScriptedEngine",
    "vllm": "qbench.workers.engines.vllm:VllmEngine",
}


def load_engine(name: str) -> Engine:
    """Import and make the engine called ``name``. Raises NotFound."""
    if name not in ENGINES:
        raise NotFound.among("engine", name, ENGINES)
    module, _, attribute = ENGINES[name].partition(":")
    return cast("Engine", getattr(importlib.import_module(module), attribute)())
