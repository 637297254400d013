"""The steps of a run, called in-process here and shaped for a queue.

``execute`` takes the engine steps one after the other (a machine has one accelerator); an engine
step starts what serves a (model, format) once and works through its open shards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.suite import Environment, Sample, Suite
from qbench.errors import EngineError
from qbench.service.domain import Endpoint, Run, RunStatus, Shard, System
from qbench.service.pricebook import PriceBook
from qbench.service.store import Store
from qbench.workers.attempts import Bench
from qbench.workers.budget import Budget
from qbench.workers.engines import Serving
from qbench.workers.leases import leased
from qbench.workers.others import Others, opened, worst_attempt
from qbench.workers.progress import Once, Progress, Tally
from qbench.workers.recorder import Recorder
from qbench.workers.rounds import next_step
from qbench.workers.sessions import Books, engine_session, settle_orphans
from qbench.workers.shards import Pool, work_through
from qbench.workers.tariffs import Tariff, keeping, planned_tariff, tariff_of


@dataclass(frozen=True, kw_only=True)
class Session(Books):
    """One process working on one run."""

    progress: Progress
    suite: Suite
    samples: dict[str, Sample]
    environment: Environment
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

    Cancelling saves what has ended and leaves the run paused. A finished run is left alone.

    Raises:
        RunTaken: another process works on the run.
        StoreError: attempts cannot be saved; those saved before stay.

    """
    async with leased(store, run.id) as me:
        settle_orphans(run, store, prices)
        to_do = store.reopen(run.id)
        progress.begin(run, tallies(run, store))
        if not to_do:
            return _finish(run, store)
        store.set_status(run.id, RunStatus.RUNNING, datetime.now(UTC))
        status = RunStatus.PAUSED
        try:
            status = await _drive(run, store, prices, progress)
        finally:
            if store.beat_lease(run.id, me.token):  # else it is another process's run now
                store.set_status(run.id, status, datetime.now(UTC))
        return status


def _finish(run: Run, store: Store) -> RunStatus:
    """Note that nothing is left to do, where a killed process had no time to."""
    if store.run(run.id).status is not RunStatus.DONE:
        store.set_status(run.id, RunStatus.DONE, datetime.now(UTC))
    return RunStatus.DONE


async def _drive(run: Run, store: Store, prices: PriceBook, progress: Progress) -> RunStatus:
    async with _session(run, store, prices, progress) as session:
        await _engine_steps(session)
    status = standing(run, store)
    unfinished = status is not RunStatus.DONE
    return RunStatus.BUDGET if unfinished and session.budget.reached else status


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
    """Make what is missing: all of it at once, or round by round until it is decided."""
    if session.run.request.sequential:
        await _rounds(session)
    else:
        await _serve_all(session, session.store.shards(session.run.id, open_only=True))


async def _serve_all(session: Session, shards: Sequence[Shard]) -> set[str]:
    """Serve each (model, format) once; when one does not come up, go on with the others.

    Returns the ids of the systems that were given up.
    """
    gone: set[str] = set()
    for systems in grouped(session.run):
        if session.budget.reached:
            break
        try:
            await engine_step(session, systems, shards)
        except EngineError as error:
            session.progress.say(f"{systems[0].label} was given up. {error}")
            gone |= {system.id for system in systems}
    return gone


async def _rounds(session: Session) -> None:
    """Ask round after round, each time only what is still open; see ``workers.rounds``."""
    session = replace(session, progress=Once(session.progress))
    gone, told = set[str](), set[str]()
    while not session.budget.reached:
        step = await asyncio.to_thread(
            next_step, session.run, session.store, left=session.budget.left, gone=gone
        )
        await asyncio.to_thread(session.store.skip, session.run.id, step.skipped)
        _tell(session, {key: why for key, why in step.stopped.items() if key not in told})
        told |= step.stopped.keys()
        if not step.shards:
            return
        gone |= await _serve_all(session, step.shards)


def _tell(session: Session, stopped: Mapping[str, str]) -> None:
    """Say which systems need no more, and show how little the run is now."""
    for system in session.run.request.systems:
        if system.id in stopped:
            session.progress.say(f"{system.label} is asked no more ({stopped[system.id]}).")
    for key, planned in session.store.planned(session.run.id).items():
        session.progress.stopped(key, planned)


def grouped(run: Run) -> list[list[System]]:
    """Group systems that share a started engine, the baseline's group first."""
    groups: dict[str, list[System]] = {}
    for system in sorted(run.request.systems, key=lambda s: s.id != run.request.baseline):
        groups.setdefault(system.engine_key, []).append(system)
    return list(groups.values())


async def engine_step(session: Session, systems: Sequence[System], shards: Sequence[Shard]) -> None:
    """Start the engine that ``systems`` share and make what is missing of their ``shards``."""
    wanted = {system.id: [s for s in shards if s.system_id == system.id] for system in systems}
    if not any(wanted.values()):
        return
    planned = planned_tariff(systems[0], session.run.controls, session.prices)
    with _meter(session.budget, planned.per_second):
        if session.budget.admit():
            await _serve(session, systems, wanted)


async def _serve(
    session: Session, systems: Sequence[System], wanted: Mapping[str, Sequence[Shard]]
) -> None:
    async with (
        _deadline(session.budget) as deadline,
        engine_session(session, systems[0], session.progress.say) as (serving, endpoint),
    ):
        tariff = tariff_of(systems[0], endpoint, session.run.controls, session.prices)
        tariff = keeping(tariff, session.store.save_prices)
        _correct(session.budget, deadline, tariff.per_second)
        for system in systems:
            session.progress.serving(system, endpoint)
            served = Served(system=system, serving=serving, endpoint=endpoint, tariff=tariff)
            await shard_steps(session, served, wanted[system.id])


@asynccontextmanager
async def _deadline(budget: Budget) -> AsyncIterator[asyncio.Timeout]:
    """Cancel the body when the budget's meter reaches the limit.

    A cancelled attempt never happened: it is made again when the run is resumed.
    """
    try:
        async with asyncio.timeout(budget.seconds_left) as deadline:
            yield deadline
    except TimeoutError:
        if not deadline.expired():
            raise
        budget.reached = True


@contextmanager
def _meter(budget: Budget, per_second: Decimal) -> Iterator[None]:
    budget.start_meter(per_second)
    try:
        yield
    finally:
        budget.stop_meter()


def _correct(budget: Budget, deadline: asyncio.Timeout, per_second: Decimal) -> None:
    """Go on at the price of the machine that the engine reported."""
    budget.correct_meter(per_second)
    left = budget.seconds_left
    deadline.reschedule(None if left is None else asyncio.get_running_loop().time() + left)


async def shard_steps(session: Session, served: Served, shards: Sequence[Shard]) -> None:
    """Make the missing attempts of one served system's shards."""
    async with opened(
        served.system,
        session.prices,
        session.store.save_prices,
        concurrency=session.run.controls.concurrency,
        say=session.progress.say,
    ) as others:
        await _shard_steps(session, served, shards, others)


async def _shard_steps(
    session: Session, served: Served, shards: Sequence[Shard], others: Others
) -> None:
    pool = Pool(
        bench=_bench(session, served, others),
        store=session.store,
        recorder=session.recorder,
        budget=session.budget,
        samples=session.samples,
        ended=lambda recorded: session.progress.ended(recorded.attempt, session.budget.spent),
        worst=worst_attempt(
            served.system, served.tariff, session.run.request.limits, session.prices
        ),
    )
    await work_through(pool, shards, workers=session.run.controls.concurrency)


def _bench(session: Session, served: Served, others: Others) -> Bench:
    return Bench(
        run=session.run,
        system=served.system,
        suite=session.suite,
        environment=session.environment,
        chat=served.serving.chat,
        endpoint_id=served.endpoint.id,
        turn_price=served.tariff.turn_dollars,
        lines=served.tariff.attempt_lines,
        others=others,
    )


def tallies(run: Run, store: Store) -> dict[str, Tally]:
    """Count what is there already, by system; errored attempts are to be made again."""
    planned, counts = store.planned(run.id), store.counts(run.id)
    return {
        system.id: _tally(planned.get(system.id, 0), counts.get(system.id, {}))
        for system in run.request.systems
    }


def _tally(planned: int, counts: dict[str, int]) -> Tally:
    done = counts.get("scored", 0) + counts.get("unscored", 0)
    return Tally(total=planned, done=done, passed=counts.get("passed", 0))


def standing(run: Run, store: Store) -> RunStatus:
    """Return DONE when nothing is missing or errored, else PARTIAL."""
    complete = all(tally.done == tally.total for tally in tallies(run, store).values())
    return RunStatus.DONE if complete else RunStatus.PARTIAL
