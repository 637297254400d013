"""The shard step: makes the missing attempts of one shard, or of none when none is ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import Chat
from qbench.errors import EngineError, QbenchError, StoreError
from qbench.service.domain import Endpoint, Run, System
from qbench.service.queue import BUDGET, Hosting, LeasedShard, Needs
from qbench.service.store import Recorded
from qbench.workers.attempts import Bench
from qbench.workers.budget import Budget
from qbench.workers.engines import Serving
from qbench.workers.host import Host
from qbench.workers.needs import NOTHING
from qbench.workers.others import Others, opened, worst_attempt
from qbench.workers.planning import finish_if_over
from qbench.workers.sessions import Books, engine_session
from qbench.workers.shards import Pool, work_through
from qbench.workers.tariffs import Tariff, keeping, tariff_of
from qbench.workers.throttled import Throttled
from qbench.workers.traced import run_span

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A shard with the run and the system it belongs to."""

    leased: LeasedShard
    run: Run
    system: System

    @property
    def hosting(self) -> Hosting:
        """The engine it asks."""
        return self.leased.hosting


async def shard_step(host: Host) -> None:
    """Work on the next shard, if one is ready and there is room."""
    if host.draining or host.full:
        return
    leased = await asyncio.to_thread(host.store.lease_shard, host.worker)
    if leased is None:
        return
    task = asyncio.create_task(_work_on(host, leased))
    host.shards[leased.token] = task
    try:
        await asyncio.wait([task])
    finally:
        host.shards.pop(leased.token, None)
    if not task.cancelled() and task.exception():
        logger.error("shard %s: %s", leased.shard.id, task.exception())
    await _go_on(host, leased)


async def _go_on(host: Host, leased: LeasedShard) -> None:
    """End what this shard was the last of, and wake whoever is next."""
    try:
        await asyncio.to_thread(_close, host, leased)
        if (await asyncio.to_thread(host.store.ready))["shard"]:
            host.wake("shard")
    except StoreError as error:
        logger.warning("%s", error.what)


def _close(host: Host, leased: LeasedShard) -> None:
    hosting = leased.hosting
    if host.store.end_hosting(hosting.id) and Needs.read(hosting.needs) == NOTHING:
        finish_if_over(host, host.store.run(hosting.run_id))


async def _work_on(host: Host, leased: LeasedShard) -> None:
    run = await asyncio.to_thread(host.store.run, leased.shard.run_id)
    system = next(s for s in run.request.systems if s.id == leased.shard.system_id)
    work = Work(leased=leased, run=run, system=system)
    untried = True
    try:
        with run_span(run):
            async with _served(host, work) as (serving, endpoint):
                untried = await _make_attempts(host, work, serving, endpoint)
    except StoreError:
        raise
    except QbenchError as error:
        logger.warning("%s was given up. %s", system.label, error)
        await _give_up(host, work, error)
    finally:
        release = asyncio.to_thread(_release, host, leased.token, untried)
        await asyncio.shield(release)


async def _give_up(host: Host, work: Work, error: QbenchError) -> None:
    """Start a hosted engine anew that does not answer; else nothing more is asked of it."""
    hosted = host.engines.get(work.hosting.token)
    if hosted is not None and isinstance(error, EngineError):
        hosted.died = error.what
        hosted.ending.set()
    else:
        await asyncio.to_thread(host.store.end_hosting, work.hosting.id, str(error))


def _release(host: Host, token: str, untried: bool) -> None:
    host.store.release_shard(token, untried=untried)


@asynccontextmanager
async def _served(host: Host, work: Work) -> AsyncIterator[tuple[Serving, Endpoint]]:
    """Reach the engine: the one hosted here, or a session of the shard's own."""
    hosted = host.engines.get(work.hosting.token)
    if hosted is not None and hosted.serving is not None and hosted.endpoint is not None:
        task = asyncio.current_task()
        assert task is not None
        hosted.shards.add(task)
        try:
            yield hosted.serving, hosted.endpoint
        finally:
            hosted.shards.discard(task)
        return
    books = Books(run=work.run, store=host.store, prices=host.prices, recorder=host.recorder)
    async with engine_session(
        books, work.system, logger.info, session_id=work.leased.token
    ) as served:
        yield served


async def _make_attempts(host: Host, work: Work, serving: Serving, endpoint: Endpoint) -> bool:
    """Make the shard's missing attempts; True when money alone kept it from ending."""
    tariff = tariff_of(work.system, endpoint, work.run.controls, host.prices)
    tariff = keeping(tariff, host.store.save_prices)
    budget = await asyncio.to_thread(_budget, host, work, tariff)
    if budget is None:
        return True
    async with _others(host, work) as others:
        pool = await _pool(host, work, (serving, endpoint), tariff, (budget, others))
        await work_through(pool, [work.leased.shard], workers=work.hosting.width)
    if budget.reached:
        await asyncio.to_thread(host.store.end_hosting, work.hosting.id, BUDGET)
    return True


def _budget(host: Host, work: Work, tariff: Tariff) -> Budget | None:
    """Set the shard's dollars aside; None when there are none for it now."""
    limit, worst = work.run.controls.budget, _worst(host, work, tariff)
    if limit is None or not worst:
        return Budget(None)  # a hosted engine's seconds are watched by its meter
    wanted = worst * len(host.store.missing(work.leased.shard))
    told = host.store.reserve_shard(
        work.run.id, work.leased.token, limit, wanted=wanted, least=min(worst, wanted)
    )
    if told.dollars is None:
        if told.final:
            host.store.end_hosting(work.hosting.id, BUDGET)
        return None
    return Budget(told.dollars)


def _worst(host: Host, work: Work, tariff: Tariff) -> Decimal:
    return worst_attempt(work.system, tariff, work.run.request.limits, host.prices)


def _others(host: Host, work: Work) -> AbstractAsyncContextManager[Others]:
    return opened(
        work.system,
        host.prices,
        host.store.save_prices,
        concurrency=work.hosting.width,
        say=logger.info,
        through=lambda chat, other: _throttled(host, other, chat),
    )


async def _pool(
    host: Host,
    work: Work,
    served: tuple[Serving, Endpoint],
    tariff: Tariff,
    beside: tuple[Budget, Others],
) -> Pool:
    budget, others = beside
    suite = work.run.request.suite
    samples = await asyncio.to_thread(host.store.samples, work.leased.shard.sample_ids)
    bench = Bench(
        run=work.run,
        system=work.system,
        suite=load_suite(suite),
        environment=await host.environment(suite),
        chat=_throttled(host, work.system, served[0].chat),
        endpoint_id=served[1].id,
        base_url=served[1].base_url,
        turn_price=tariff.turn_dollars,
        lines=tariff.attempt_lines,
        others=others,
    )
    first = _First(host, work.leased.token)
    return Pool(
        bench=bench,
        store=host.store,
        recorder=host.recorder,
        budget=budget,
        samples=samples,
        ended=first.ended,
        worst=_worst(host, work, tariff),
    )


def _throttled(host: Host, system: System, chat: Chat) -> Chat:
    if system.engine == "api":
        return Throttled(chat, host.rates, system.model)
    return chat


class _First:
    """Notes once that a shard saved something."""

    def __init__(self, host: Host, token: str) -> None:
        self._host = host
        self._token = token
        self._noted: asyncio.Task[None] | None = None

    def ended(self, recorded: Recorded) -> None:
        """Count a durable attempt."""
        self._host.progress.ended(recorded.attempt, Decimal(0))
        if self._noted is None:
            note = asyncio.to_thread(self._host.store.progressed, self._token)
            self._noted = asyncio.create_task(note)
