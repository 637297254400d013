"""Engine sessions: an engine's life from the first second it is paid for to its bill.

A session is written down before its engine starts and touched every ``HEARTBEAT_S``, so that a
killed process leaves a record of what its engine cost; whoever works on the run next bills it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from qbench.errors import StoreError
from qbench.service.attribution import energy_lines, engine_lines, session_lines
from qbench.service.domain import (
    AttemptWork,
    Endpoint,
    EngineSeconds,
    LedgerLine,
    Run,
    System,
    new_id,
)
from qbench.service.energy import energy_price, power_drawn
from qbench.service.pricebook import PriceBook
from qbench.service.store import Recorded, Store
from qbench.workers.energy import Meter, meter_of
from qbench.workers.engines import Say, Serving, load_engine
from qbench.workers.engines.process import own_gpus
from qbench.workers.probing import probe_session
from qbench.workers.recorder import Recorder
from qbench.workers.tariffs import LOCAL_ENGINES, expected_hardware, tariff_of

HEARTBEAT_S = 2.0
"""How often an engine's seconds are written down: the cost that a killed run may lose."""


@dataclass(frozen=True, kw_only=True)
class Books:
    """Where a run's sessions are written down and billed."""

    run: Run
    store: Store
    prices: PriceBook
    recorder: Recorder[Recorded]


class _Reading:
    """An engine's seconds: load time by our clock until it is up, then its own."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._apart = EngineSeconds()
        self.serving: Serving | None = None
        self.meter: Meter | None = None
        """Of the devices, from when attempts can come; None where nothing can be read."""

    async def seconds(self) -> EngineSeconds:
        if self.serving is None:
            return EngineSeconds(load=time.monotonic() - self._began)
        return apart(await self.serving.seconds(), self._apart)

    async def energy(self) -> dict[str, Any]:
        """Return the joules since attempts could come, and which counter says so; else nothing."""
        if self.meter is None:
            return {}
        try:
            joules = await asyncio.to_thread(self.meter.joules)
        except OSError:
            self.meter = None
            return {}
        return {"energy": {"joules": joules, "meter": self.meter.name}}

    @asynccontextmanager
    async def preparing(self) -> AsyncIterator[None]:
        """Count what the engine does meanwhile as part of its load: no attempt caused it."""
        assert self.serving is not None
        before = await self.serving.seconds()
        try:
            yield
        finally:
            self._apart = less(await self.serving.seconds(), before)


def less(one: EngineSeconds, other: EngineSeconds) -> EngineSeconds:
    """Return what ``one`` has more than ``other``, never below zero."""
    spent = {
        name: None if (now := getattr(one, name)) is None else max(0.0, now - (then or 0.0))
        for name in ("load", "busy", "idle", "prefill", "decode")
        for then in (getattr(other, name),)
    }
    return replace(EngineSeconds(), **spent)


def apart(seconds: EngineSeconds, preparation: EngineSeconds) -> EngineSeconds:
    """Return ``seconds`` with busy and idle time of the preparation counted as load instead."""
    served = less(seconds, preparation)
    moved = preparation.busy + preparation.idle
    return replace(served, load=seconds.load + moved)


@asynccontextmanager
async def engine_session(
    books: Books, system: System, say: Say, *, session_id: str = ""
) -> AsyncIterator[tuple[Serving, Endpoint]]:
    """Start an engine, yield it, bill it and stop it.

    The bill comes before the stop, so that a second Ctrl-C during a slow stop loses nothing. An
    engine that does not come up is billed for the time it took.

    Args:
        books: where it is written down.
        system: what is to be served.
        say: takes lines for people.
        session_id: of the endpoint; empty: a new one.

    Raises:
        EngineStartError: the engine did not come up.

    """
    endpoint, reading = _starting(books.run, system, session_id), _Reading()
    await asyncio.to_thread(books.store.open_endpoint, endpoint, healthy=False)
    beat = asyncio.create_task(_heartbeat(books.store, endpoint.id, reading))
    try:
        concurrency = books.run.controls.concurrency
        async with load_engine(system.engine).serve(
            system, concurrency=concurrency, say=say
        ) as serving:
            endpoint, reading.serving = _joined(serving.endpoint, endpoint), serving
            async with _billed(books, endpoint, reading, beat):
                up = replace(endpoint, seconds=await reading.seconds())
                await asyncio.to_thread(books.store.publish_endpoint, up)
                if books.run.controls.probe:
                    async with reading.preparing():
                        await _probe(books, up, system, say)
                if system.engine in LOCAL_ENGINES:
                    reading.meter = await asyncio.to_thread(
                        meter_of, endpoint.architecture, endpoint.devices, own_gpus()
                    )
                yield serving, endpoint
    except BaseException:
        if reading.serving is None:
            async with _billed(books, endpoint, reading, beat):
                pass
        raise


async def _probe(books: Books, endpoint: Endpoint, system: System, say: Say) -> None:
    """Measure the session's fidelity; the baseline's twice, for the noise of rounding."""
    baseline = next(s for s in books.run.request.systems if s.id == books.run.request.baseline)
    await probe_session(
        books.store,
        books.run.id,
        endpoint,
        system,
        floor=system.engine_key == baseline.engine_key,
        say=say,
    )


def _starting(run: Run, system: System, session_id: str) -> Endpoint:
    return Endpoint(
        id=session_id or new_id(),
        run_id=run.id,
        engine_key=system.engine_key,
        base_url="",
        served_name=system.model,
        started_at=datetime.now(UTC),
        hardware=expected_hardware(system),
        format_requested=system.format,
    )


def _joined(served: Endpoint, opened: Endpoint) -> Endpoint:
    """What the engine says of itself, under the session that was opened for it."""
    return replace(served, id=opened.id, run_id=opened.run_id, started_at=opened.started_at)


async def _heartbeat(store: Store, endpoint_id: str, reading: _Reading) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        seconds = await reading.seconds()
        await reading.energy()  # a counter that wraps must be read in time
        try:
            await asyncio.to_thread(store.touch_endpoint, endpoint_id, seconds, datetime.now(UTC))
        except StoreError:
            continue  # a database that does not answer now may answer the next beat


@asynccontextmanager
async def _billed(
    books: Books, endpoint: Endpoint, reading: _Reading, beat: asyncio.Task[None]
) -> AsyncIterator[None]:
    try:
        yield
    finally:
        beat.cancel()
        await asyncio.shield(_close(books, endpoint, reading))


async def _close(books: Books, endpoint: Endpoint, reading: _Reading) -> None:
    """Bill the session when every attempt it served is durable."""
    await books.recorder.flush()
    ended = replace(endpoint, seconds=await reading.seconds(), stopped_at=datetime.now(UTC))
    measured = await reading.energy()
    if measured:
        ended = replace(ended, details=ended.details | measured)
        await asyncio.to_thread(books.store.publish_endpoint, ended)
    await asyncio.to_thread(settle, ended, books.run, books.store, books.prices)


def settle(endpoint: Endpoint, run: Run, store: Store, prices: PriceBook) -> None:
    """Book an ended session: shared among the attempts it served, else on the run; idempotent."""
    at = endpoint.stopped_at or datetime.now(UTC)
    store.close_endpoint(endpoint.id, endpoint.seconds, at, _bill(endpoint, run, store, prices))


def _bill(endpoint: Endpoint, run: Run, store: Store, prices: PriceBook) -> list[LedgerLine]:
    system = next(s for s in run.request.systems if s.engine_key == endpoint.engine_key)
    tariff = tariff_of(system, endpoint, run.controls, prices)
    if tariff.token is not None:  # an API is paid by token, attempt by attempt
        return []
    if tariff.machine is not None:
        store.save_prices({tariff.machine.id: tariff.machine})
    work = store.attempts_of(endpoint.id)
    if work:
        copies = {system.id for system in run.request.systems if system.replica}
        at = endpoint.started_at
        lines = engine_lines(endpoint.seconds, work, tariff.machine, at=at, copies=copies)
        return lines + _electricity(endpoint, run, store, prices, work)
    if not (run.controls.hardware or endpoint.hardware):  # a machine of somebody else
        return []
    return session_lines(endpoint.id, endpoint.seconds, tariff.machine, at=endpoint.started_at)


def _electricity(
    endpoint: Endpoint, run: Run, store: Store, prices: PriceBook, work: Sequence[AttemptWork]
) -> list[LedgerLine]:
    """Bill the session's electricity; nothing where nobody knows what its devices draw."""
    drawn = power_drawn(endpoint, run.controls.hardware, prices)
    if drawn is None:
        return []
    price = energy_price(drawn, prices, endpoint.started_at)
    if price is not None:
        store.save_prices({price.id: price})
    return energy_lines(endpoint.seconds, work, price, at=endpoint.started_at)


def settle_orphans(run: Run, store: Store, prices: PriceBook, *, only: str = "") -> None:
    """Bill the sessions that a killed process left open, up to their last sign of life.

    ``only``: the one of this id; others may be alive.
    """
    for endpoint in store.orphaned_endpoints(run.id):
        if only in ("", endpoint.id):
            settle(endpoint, run, store, prices)
