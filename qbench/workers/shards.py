"""Working through shards: a pool of workers over lazily opened shards of one served system."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from qbench.benchmarks.suite import Sample
from qbench.errors import EngineUnavailable
from qbench.service.domain import AttemptStatus, Shard
from qbench.service.store import Recorded, Store
from qbench.workers.attempts import Bench, Job, attempt
from qbench.workers.budget import NOTHING, Budget
from qbench.workers.recorder import Recorder

BREAKER = 24
"""Attempts that fail in a row on the engine's account before the engine is given up."""

BACKLOG = 256
"""Attempts that may wait for their commit before workers wait too."""


@dataclass(kw_only=True)
class Pool:
    """What the workers of one served system share."""

    bench: Bench
    store: Store
    recorder: Recorder[Recorded]
    budget: Budget
    samples: Mapping[str, Sample]
    ended: Callable[[Recorded], None]
    worst: Decimal = NOTHING
    """The most one attempt can cost on an API; zero for a local engine, whose meter runs."""
    dearest: Decimal = NOTHING
    """The most one attempt did cost so far."""
    left: dict[str, int] = field(default_factory=dict)
    """Attempts not yet durable, by open shard."""
    full: list[str] = field(default_factory=list)
    """Shards whose last attempt is durable, to be closed."""
    failures: int = 0
    """Engine failures in a row."""
    backlog: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BACKLOG))
    unsaved: BaseException | None = None
    """Why an attempt could not be saved: work stops, for its results would be lost too."""

    @property
    def reserve(self) -> Decimal:
        """Dollars to set aside for one more attempt: thrice the dearest, the worst at first."""
        return min(self.worst, 3 * self.dearest) if self.dearest else self.worst


async def work_through(pool: Pool, shards: Sequence[Shard], *, workers: int) -> None:
    """Make every missing attempt of ``shards``; a shard closes when its last one is durable.

    Raises:
        EngineUnavailable: when the engine failed ``BREAKER`` times in a row.
        StoreError: when attempts cannot be saved; what was saved stays.

    """
    jobs = _jobs(pool, shards)
    try:
        async with asyncio.TaskGroup() as working:
            for _ in range(workers):
                working.create_task(_work(pool, jobs))
    except ExceptionGroup as group:
        raise _first(group) from None
    finally:
        await asyncio.shield(pool.recorder.flush())  # a cancelled run keeps what has ended
    if pool.unsaved is not None:
        raise pool.unsaved
    await _close_shards(pool)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first leaf: the others are its consequences."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _jobs(pool: Pool, shards: Sequence[Shard]) -> Iterator[Job]:
    """Open shards one after the other, only when a worker is free for them."""
    for shard in shards:
        missing = pool.store.missing(shard)
        pool.left[shard.id] = len(missing)
        if not missing:
            pool.full.append(shard.id)
        for sample_id, epoch in missing:
            yield Job(shard=shard, sample=pool.samples[sample_id], epoch=epoch)


async def _work(pool: Pool, jobs: Iterator[Job]) -> None:
    for job in jobs:
        reserve = await pool.budget.admitted(lambda: pool.reserve)
        if reserve is None:
            return
        recorded = await attempt(job, pool.bench)
        cost = _cost(recorded, reserve)
        pool.dearest = max(pool.dearest, cost)
        pool.budget.settle(reserve, cost, recorded.attempt.transcript.seconds)
        await pool.backlog.acquire()
        if pool.unsaved is not None:
            raise pool.unsaved
        saving = pool.recorder.put(recorded)
        saving.add_done_callback(partial(_saved, pool, job, recorded))
        _break_if_dead(pool, recorded)
        await _close_shards(pool)


def _saved(pool: Pool, job: Job, recorded: Recorded, saving: asyncio.Future[None]) -> None:
    """Count an attempt that is durable now, or note why it could not be saved."""
    pool.backlog.release()
    error = saving.exception()
    if error is not None:
        pool.unsaved = error
        return
    pool.ended(recorded)
    pool.left[job.shard.id] -= 1
    if not pool.left[job.shard.id]:
        pool.full.append(job.shard.id)


async def _close_shards(pool: Pool) -> None:
    """Close the shards whose last attempt is durable."""
    while pool.full:
        await asyncio.to_thread(pool.store.close_shard, pool.full.pop())


def _cost(recorded: Recorded, reserve: Decimal) -> Decimal:
    """Sum the lines; an attempt whose cost is unknown is held to have cost its reserve."""
    known = [line.dollars for line in recorded.lines if line.dollars is not None]
    return sum(known, NOTHING) if len(known) == len(recorded.lines) else reserve


def _break_if_dead(pool: Pool, recorded: Recorded) -> None:
    errored = recorded.attempt.status is AttemptStatus.ERRORED
    pool.failures = pool.failures + 1 if errored else 0
    if pool.failures >= BREAKER:
        fault = recorded.attempt.fault
        raise EngineUnavailable(
            f"{BREAKER} attempts in a row failed on {pool.bench.system.label}; the last: "
            f"{fault.message if fault else 'unknown'}",
            hint="Mend the engine or its tool servers, then run the same command again: only "
            "what is missing or errored will run.",
        )
