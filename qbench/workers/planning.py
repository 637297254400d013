"""The plan step: admits queued runs, lays them out, and ends those in which nothing is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from qbench.errors import QbenchError
from qbench.service.desk import most_active
from qbench.service.domain import Run, Shard, System, new_id
from qbench.service.plan import plan_of
from qbench.service.queue import Hosting, HostingState, spread
from qbench.workers.host import Host
from qbench.workers.leases import is_alive
from qbench.workers.needs import NOTHING, needs_of
from qbench.workers.rounds import Step, next_step
from qbench.workers.sessions import settle_orphans
from qbench.workers.steps import grouped
from qbench.workers.tariffs import check_budget

logger = logging.getLogger(__name__)


async def plan_step(host: Host) -> None:
    """Begin queued runs while there is room, in fair order."""
    while not host.draining:
        run = await asyncio.to_thread(_next_run, host)
        if run is None:
            return
        hostings = await asyncio.to_thread(_begin, host, run)
        _wake_for(host, hostings)
        await asyncio.to_thread(finish_if_over, host, run)


def _next_run(host: Host) -> Run | None:
    alive = sum(view.alive and not view.draining for view in host.store.workers())
    if host.store.active() >= most_active(alive):
        return None
    return next(iter(host.store.queued(1)), None)


def _begin(host: Host, run: Run) -> list[Hosting]:
    """Lay the run out and begin it; what cannot be done is told by a hosting that failed."""
    due = None
    try:
        hostings, due = _laid_out(host, run)
    except QbenchError as error:
        logger.warning("run %s cannot begin: %s", run.id, error)
        failed = Hosting(
            id=new_id(),
            run_id=run.id,
            engine_key="",
            needs=str(NOTHING),
            state=HostingState.FAILED,
            reason=str(error),
        )
        hostings = [(failed, [])]
    begun = host.store.begin(run.id, hostings, due)
    return [hosting for hosting, _ in hostings] if begun else []


def _laid_out(
    host: Host, run: Run
) -> tuple[list[tuple[Hosting, list[str]]], frozenset[str] | None]:
    """Return hostings with their systems, and the shards that are due where it goes by rounds."""
    check_budget(run.request, run.controls, host.prices)
    if not host.store.cells(run.id):
        host.store.lay_out(plan_of(run))
    settle_orphans(run, host.store, host.prices)
    if not (run.request.sequential and host.store.in_rounds(run.id)):
        host.store.reopen(run.id)
    due = _due(host, run) if run.request.sequential else None
    open_shards = host.store.shards(run.id, open_only=True)
    wanted = [shard for shard in open_shards if due is None or shard.id in due]
    found = (_hosting(run, systems, wanted) for systems in grouped(run))
    return [pair for pair in found if pair is not None], due


def _due(host: Host, run: Run) -> frozenset[str]:
    """Close what nobody needs any more; return the shards of the next round."""
    step = _next(host, run)
    host.store.skip(run.id, step.skipped)
    return frozenset(shard.id for shard in step.shards)


def _next(host: Host, run: Run) -> Step:
    budget = run.controls.budget
    left = None if budget is None else float(budget - host.store.paid(run.id))
    return next_step(run, host.store, left=left)


def _hosting(
    run: Run, systems: Sequence[System], open_shards: Sequence[Shard]
) -> tuple[Hosting, list[str]] | None:
    """Make the hosting of systems that share an engine; None when they have nothing to do."""
    ids = [system.id for system in systems]
    shards = sum(shard.system_id in ids for shard in open_shards)
    if not shards:
        return None
    needs = needs_of(systems[0], run.controls)
    parallel, width = spread(run.controls.concurrency, shards)
    hosting = Hosting(
        id=new_id(),
        run_id=run.id,
        engine_key=systems[0].engine_key,
        needs=str(needs),
        state=HostingState.UP if needs == NOTHING else HostingState.WAITING,
        parallel=parallel,
        width=width,
    )
    return hosting, ids


def _wake_for(host: Host, hostings: Sequence[Hosting]) -> None:
    waiting = [one for one in hostings if one.state is HostingState.WAITING]
    ready = sum(one.parallel for one in hostings if one.state is HostingState.UP)
    if waiting:
        host.wake("engine", len(waiting))
    if ready:
        host.wake("shard", ready)


def finish_if_over(host: Host, run: Run) -> None:
    """End the run when none of its engines is open, and make room for the next."""
    over = (HostingState.OVER, HostingState.FAILED)
    if any(hosting.state not in over for hosting in host.store.hostings(run.id)):
        return
    settle_orphans(run, host.store, host.prices)
    if run.request.sequential and _goes_on(host, run):
        host.wake("plan")
        return
    status = host.store.finish(run.id)
    if status is not None:
        logger.info("run %s is %s", run.id, status.value)
        host.wake("plan")


def _goes_on(host: Host, run: Run) -> bool:
    """Queue the next round of a run that is not decided; exactly one caller does."""
    step = _next(host, run)
    host.store.skip(run.id, step.skipped)
    return bool(step.shards) and host.store.another_round(run.id)


def system_sharing(run: Run, engine_key: str) -> tuple[System, ...]:
    """Return the run's systems that share an engine."""
    return tuple(s for s in run.request.systems if s.engine_key == engine_key)


async def sweep_step(host: Host) -> None:
    """Send lost messages again; take over from lost workers; end what was left half ended.

    One worker at a time does it, each ``SWEEP_S``.
    """
    for hosting in await asyncio.to_thread(_lost, host):
        await asyncio.to_thread(_take_over, host, hosting)
    for run_id in await asyncio.to_thread(host.store.begun):
        await asyncio.to_thread(_tidy, host, run_id)
    for queue, number in (await asyncio.to_thread(host.store.ready)).items():
        if number:
            host.wake(queue, min(number, host.worker.threads))


def _lost(host: Host) -> tuple[Hosting, ...]:
    """Find lost workers: at once on this machine, by their silence elsewhere."""
    views = host.store.workers()
    return host.store.lost([v.worker.id for v in views if is_alive(v.worker) is False])


def _take_over(host: Host, hosting: Hosting) -> None:
    """Bill the engine of a lost worker up to its last sign of life and let it be hosted anew."""
    logger.warning("worker %s was lost with %s", hosting.worker_id, hosting.engine_key)
    run = host.store.run(hosting.run_id)
    settle_orphans(run, host.store, host.prices, only=hosting.endpoint_id)
    host.store.requeue_hosting(hosting)


def _tidy(host: Host, run_id: str) -> None:
    """Do what a killed worker had no time for: end engines without shards, and the run."""
    for hosting in host.store.hostings(run_id):
        if hosting.state is HostingState.UP:
            host.store.end_hosting(hosting.id)
    finish_if_over(host, host.store.run(run_id))
