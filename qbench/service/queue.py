"""The values of the queue: who works, what is hosted, what waits and why."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from qbench.service.domain import Shard

SHARD_TRIES = 5
"""Leases of a shard in a row that saved nothing before it is given up as poison."""

HOSTING_TRIES = 3
"""Workers that may be lost with one hosting before it is given up."""

WORKER_LEASE_S = 15.0
"""Seconds without a beat after which a worker's leases are free."""


class HostingState(StrEnum):
    """Where one engine of a run stands."""

    WAITING = "waiting"  # for a worker with a free device
    LOADING = "loading"  # a worker has it and starts the engine
    UP = "up"  # shards may run
    ENDING = "ending"  # no shard is left: the worker bills and stops it
    OVER = "over"
    FAILED = "failed"  # given up; ``reason`` says why


OPEN = (HostingState.WAITING, HostingState.LOADING, HostingState.UP, HostingState.ENDING)
HELD = (HostingState.LOADING, HostingState.UP, HostingState.ENDING)

BUDGET = "the budget is reached"
"""Reason of a hosting that stopped before the run's budget was passed."""


class Needs(Struct, frozen=True):
    """What an engine occupies while it is up."""

    kind: str
    """``gpu``, ``cpu`` or ``nothing``."""
    count: int = 1

    def __str__(self) -> str:
        return f"{self.kind}*{self.count}"

    @classmethod
    def read(cls, text: str) -> Needs:
        """Read what ``str`` wrote."""
        kind, _, count = text.partition("*")
        return cls(kind, int(count))


class Hosting(Struct, frozen=True, kw_only=True):
    """One engine of a run: waiting, leased by the worker that hosts it, or over."""

    id: str
    run_id: str
    engine_key: str
    needs: str
    state: HostingState
    worker_id: str = ""
    node: str = ""
    """Worker that reaches the engine; empty: any does."""
    token: str = ""
    """Of the lease, drawn anew each time: a worker that lost it can change nothing."""
    endpoint_id: str = ""
    parallel: int = 1
    width: int = 1
    tries: int = 0
    reason: str = ""


class Worker(Struct, frozen=True, kw_only=True):
    """A worker process."""

    id: str
    host: str
    node: str
    """Machine, boot and process namespace: workers that share it reach each other's loopback."""
    pid: int
    began: str
    """When the process started, as its system tells it: numbers are used again."""
    devices: tuple[str, ...]
    """Slots for engines, for example ``3f2a/gpu0``; empty: it hosts none."""
    threads: int
    """Shards it works on at once."""
    version: str
    since: datetime


class WorkerView(Struct, frozen=True, kw_only=True):
    """A worker in a list."""

    worker: Worker
    beat_s: float
    """Seconds since it was heard of."""
    alive: bool
    draining: bool
    shards: int
    """That it works on now."""


class LeasedShard(Struct, frozen=True, kw_only=True):
    """A shard with the right to work on it."""

    shard: Shard
    hosting: Hosting
    token: str


class Pulse(Struct, frozen=True, kw_only=True):
    """What a worker still holds, as of its last beat."""

    shards: frozenset[str]
    """Tokens; work under any other must stop."""
    hostings: dict[str, HostingState]
    """By token."""
    known: bool
    """False: others held this worker dead and took its leases; it must start anew."""


class Reserve(Struct, frozen=True, kw_only=True):
    """Answer to a wish for dollars of a run's budget."""

    dollars: Decimal | None
    """None: nothing is granted."""
    final: bool = False
    """Nothing will come free either: the budget is reached."""


class Waiting(Struct, frozen=True, kw_only=True):
    """Why a run does not run yet."""

    position: int
    """1: next."""
    of: int
    """Runs that wait."""
    reason: str


def spread(concurrency: int, shards: int) -> tuple[int, int]:
    """Return shards at once and attempts in flight of each: together at most ``concurrency``.

    Four per shard, so that the end of one shard leaves few places empty.
    """
    parallel = max(1, min(shards, concurrency // 4))
    return parallel, max(1, concurrency // parallel)
