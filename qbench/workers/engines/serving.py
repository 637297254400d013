"""A started engine whose seconds are seen from the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from qbench.benchmarks.chat import Chat
from qbench.service.domain import Endpoint, EngineSeconds
from qbench.workers.engines.inflight import InFlight


class MeasuredChat(Chat, Protocol):
    """A chat that knows when it had a request in flight."""

    @property
    def in_flight(self) -> InFlight:
        """The times with at least one request in flight."""
        ...


class MeasuredServing:
    """An engine that is up: ``load`` tells the seconds it took to start, restarts included."""

    def __init__(
        self, endpoint: Endpoint, chat: MeasuredChat, load: Callable[[], float] = float
    ) -> None:
        self.endpoint = endpoint
        self.chat = chat
        self._load = load

    async def seconds(self) -> EngineSeconds:
        """Return load, busy and idle seconds so far."""
        return self.chat.in_flight.seconds(load=self._load())
