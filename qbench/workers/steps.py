"""The steps of a run, called in-process here and shaped for a queue.

``execute`` takes the engine steps one after the other (a machine has one accelerator); an engine
step starts what serves a (model, format) once and works through its open shards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.suite import Environment, Sample, Suite
from qbench.errors import EngineError
from qbench.service.attribution import engine_lines
from qbench.service.domain import Endpoint, LedgerLine, Run, RunStatus, Shard, System
from qbench.service.pricebook import PriceBook
from qbench.service.store import Recorded, Store
from qbench.workers.attempts import Bench
from qbench.workers.budget import Budget
from qbench.workers.engines import Serving, load_engine
from qbench.workers.progress import Progress, Tally
from qbench.workers.recorder import Recorder
from qbench.workers.shards import Pool, work_through
from qbench.workers.tariffs import Tariff, planned_tariff, tariff_of

HEARTBEAT_S = 2.0
"""How often an engine's seconds are written down: the cost that a killed run may lose."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One process working on one run."""

    run: Run
    store: Store
    prices: PriceBook
    progress: Progress
    suite: Suite
    samples: dict[str, Sample]
    environment: Environment
    recorder: Recorder[Recorded]
    budget: Budget


@dataclass(frozen=True, kw_only=True)
class Served:
    """A system whose engine is up."""

    system: System
    serving: Serving
    endpoint: Endpoint
    tariff: Tariff


async def execute(run: Run, store: Store, prices: PriceBook, progress: Progress) -> RunStatus:
    """Run what is missing or errored of ``run`` and return where it stands then.

    Cancelling saves what has ended and leaves the run paused.

    Raises:
        StoreError: attempts cannot be saved; those saved before stay.

    """
    settle_orphans(run, store, prices)
    store.reopen(run.id)
    store.set_status(run.id, RunStatus.RUNNING, datetime.now(UTC))
    progress.begin(run, tallies(run, store))
    status = RunStatus.PAUSED
    try:
        async with _session(run, store, prices, progress) as session:
            await _engine_steps(session)
        status = RunStatus.BUDGET if session.budget.reached else standing(run, store)
    finally:
        store.set_status(run.id, status, datetime.now(UTC))
    return status


@asynccontextmanager
async def _session(
    run: Run, store: Store, prices: PriceBook, progress: Progress
) -> AsyncIterator[Session]:
    suite = load_suite(run.request.suite)
    async with (
        suite.environment(slots=run.controls.concurrency) as environment,
        Recorder(store.append) as recorder,
    ):
        yield Session(
            run=run,
            store=store,
            prices=prices,
            progress=progress,
            suite=suite,
            samples=store.samples_of(run.id),
            environment=environment,
            recorder=recorder,
            budget=Budget(run.controls.budget, settled=store.paid(run.id)),
        )


async def _engine_steps(session: Session) -> None:
    """Serve each (model, format) once; when one does not come up, go on with the others."""
    for systems in grouped(session.run):
        if session.budget.reached:
            return
        try:
            await engine_step(session, systems)
        except EngineError as error:
            session.progress.say(f"{systems[0].label} was given up. {error}")


def grouped(run: Run) -> list[list[System]]:
    """Group systems that share a started engine, the baseline's group first."""
    groups: dict[str, list[System]] = {}
    for system in sorted(run.request.systems, key=lambda s: s.id != run.request.baseline):
        groups.setdefault(system.engine_key, []).append(system)
    return list(groups.values())


async def engine_step(session: Session, systems: Sequence[System]) -> None:
    """Start the engine that ``systems`` share and make their missing attempts."""
    shards = session.store.shards(session.run.id, open_only=True)
    wanted = {system.id: [s for s in shards if s.system_id == system.id] for system in systems}
    if not any(wanted.values()):
        return
    async with _serving(session, systems[0]) as (serving, endpoint):
        tariff = tariff_of(systems[0], endpoint, session.run.controls, session.prices)
        for system in systems:
            session.progress.serving(system, endpoint)
            served = Served(system=system, serving=serving, endpoint=endpoint, tariff=tariff)
            await shard_steps(session, served, wanted[system.id])


async def shard_steps(session: Session, served: Served, shards: Sequence[Shard]) -> None:
    """Make the missing attempts of one served system's shards."""
    pool = Pool(
        bench=_bench(session, served),
        store=session.store,
        recorder=session.recorder,
        budget=session.budget,
        samples=session.samples,
        ended=lambda recorded: session.progress.ended(recorded.attempt, session.budget.spent),
        worst=served.tariff.worst(session.run.request.limits),
    )
    await work_through(pool, shards, workers=session.run.controls.concurrency)


def _bench(session: Session, served: Served) -> Bench:
    return Bench(
        run=session.run,
        system=served.system,
        suite=session.suite,
        environment=session.environment,
        chat=served.serving.chat,
        endpoint_id=served.endpoint.id,
        turn_price=served.tariff.turn_dollars,
        lines=served.tariff.attempt_lines,
    )


@asynccontextmanager
async def _serving(session: Session, system: System) -> AsyncIterator[tuple[Serving, Endpoint]]:
    """Start an engine with the budget's meter running; write it down, and its bill at the end."""
    rate = planned_tariff(system, session.run.controls, session.prices).per_second
    session.budget.start_meter(rate)
    try:
        async with load_engine(system.engine).serve(
            system, concurrency=session.run.controls.concurrency, say=session.progress.say
        ) as serving:
            endpoint = replace(serving.endpoint, run_id=session.run.id)
            async with _published(session, serving, endpoint):
                yield serving, endpoint
    finally:
        session.budget.stop_meter()


@asynccontextmanager
async def _published(session: Session, serving: Serving, endpoint: Endpoint) -> AsyncIterator[None]:
    await asyncio.to_thread(session.store.open_endpoint, endpoint)
    beat = asyncio.create_task(_heartbeat(session.store, endpoint.id, serving))
    try:
        yield
    finally:
        beat.cancel()
        await asyncio.shield(_close(session, serving, endpoint))


async def _heartbeat(store: Store, endpoint_id: str, serving: Serving) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        seconds = await serving.seconds()
        await asyncio.to_thread(store.touch_endpoint, endpoint_id, seconds, datetime.now(UTC))


async def _close(session: Session, serving: Serving, endpoint: Endpoint) -> None:
    """Bill the session when every attempt it served is durable."""
    await session.recorder.flush()
    ended = replace(endpoint, seconds=await serving.seconds(), stopped_at=datetime.now(UTC))
    await asyncio.to_thread(settle, ended, session.run, session.store, session.prices)


def settle(endpoint: Endpoint, run: Run, store: Store, prices: PriceBook) -> None:
    """Share an ended engine session's seconds among the attempts it served; idempotent."""
    system = next(s for s in run.request.systems if s.engine_key == endpoint.engine_key)
    tariff = tariff_of(system, endpoint, run.controls, prices)
    lines: list[LedgerLine] = []
    if tariff.token is None:
        work = store.attempts_of(endpoint.id)
        lines = engine_lines(endpoint.seconds, work, tariff.machine, at=endpoint.started_at)
    store.close_endpoint(
        endpoint.id, endpoint.seconds, endpoint.stopped_at or datetime.now(UTC), lines
    )


def settle_orphans(run: Run, store: Store, prices: PriceBook) -> None:
    """Bill the sessions that a killed process left open, up to their last sign of life."""
    for endpoint in store.orphaned_endpoints(run.id):
        settle(endpoint, run, store, prices)


def tallies(run: Run, store: Store) -> dict[str, Tally]:
    """Count what is there already, by system."""
    return {}


def standing(run: Run, store: Store) -> RunStatus:
    """Return DONE when nothing is missing or errored, else PARTIAL."""
    return RunStatus.PARTIAL
