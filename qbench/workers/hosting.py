"""The engine step: starts an engine on free devices, keeps it while its shards run, bills it.

The step returns when the engine is leased; loading it and keeping it is the host's own work, so
that no step waits for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from qbench.errors import QbenchError, StoreError
from qbench.service.domain import Run
from qbench.service.metrics import note_engine
from qbench.service.queue import BUDGET, Hosting, HostingState, Needs
from qbench.workers.engines.process import visible_gpus
from qbench.workers.host import BEAT_S, Host, Hosted
from qbench.workers.needs import gpu_numbers, slots_of
from qbench.workers.planning import finish_if_over, system_sharing
from qbench.workers.sessions import Books, engine_session
from qbench.workers.tariffs import planned_tariff, tariff_of

logger = logging.getLogger(__name__)

AHEAD_S = 10.0
"""Seconds of an engine that are set aside of a budget before they are spent."""


async def engine_step(host: Host) -> None:
    """Lease the engines that wait and for which this machine has free devices."""
    for text in await asyncio.to_thread(host.store.wants):
        while not host.draining and (hosted := await asyncio.to_thread(_lease, host, text)):
            host.engines[hosted.hosting.token] = hosted
            hosted.task = asyncio.create_task(_host(host, hosted))


def _lease(host: Host, text: str) -> Hosted | None:
    """Take the devices first, then an engine for them; None when either is missing."""
    needs = Needs.read(text)
    taken: tuple[str, ...] = ()
    if needs.count:
        slots = slots_of(host.worker.devices, needs.kind)
        taken = host.store.take_devices(slots, needs.count, f"an engine on {host.worker.host}")
        if not taken:
            return None
    hosting = host.store.lease_hosting(host.worker, text)
    if hosting is None:
        if taken:
            host.store.give_devices(taken[0])
        return None
    systems = system_sharing(host.store.run(hosting.run_id), hosting.engine_key)
    token, *devices = taken or ("",)
    return Hosted(hosting=hosting, systems=systems, devices=tuple(devices), device_token=token)


async def _host(host: Host, hosted: Hosted) -> None:
    """Start the engine, keep it until it is to end, and write how it ended."""
    token, state, reason = hosted.hosting.token, HostingState.OVER, ""
    run = await asyncio.to_thread(host.store.run, hosted.hosting.run_id)
    _note(hosted, "loading")
    try:
        with visible_gpus(gpu_numbers(hosted.devices)):
            await _serve(host, hosted, run)
    except QbenchError as error:
        state, reason = HostingState.FAILED, str(error)
        logger.warning("%s was given up. %s", hosted.systems[0].label, error)
    except asyncio.CancelledError:
        if host.draining:
            state = HostingState.WAITING  # another worker takes it
    finally:
        await asyncio.shield(_ended(host, hosted, state, reason))
        del host.engines[token]
        _note(hosted, "over")
        await asyncio.shield(asyncio.to_thread(finish_if_over, host, run))
        host.wake("engine")


def _note(hosted: Hosted, state: str) -> None:
    for system in hosted.systems:
        note_engine(system.model, system.format, state)


async def _ended(host: Host, hosted: Hosted, state: HostingState, reason: str) -> None:
    changes = {"reason": reason} if reason else {}
    with contextlib.suppress(StoreError):  # the lease expires then, and a sweep mends it
        token = hosted.hosting.token
        if hosted.died and state is HostingState.OVER:
            await asyncio.to_thread(host.store.requeue_hosting, hosted.hosting, hosted.died)
        else:
            await asyncio.to_thread(lambda: host.store.set_hosting(token, state, **changes))
        if hosted.device_token:
            await asyncio.to_thread(host.store.give_devices, hosted.device_token)


async def _serve(host: Host, hosted: Hosted, run: Run) -> None:
    books = Books(run=run, store=host.store, prices=host.prices, recorder=host.recorder)
    hosting, system = hosted.hosting, hosted.systems[0]
    async with (
        _metered(host, hosted, run),
        engine_session(books, system, logger.info, session_id=hosting.endpoint_id) as served,
    ):
        hosted.serving, hosted.endpoint = served
        for each in hosted.systems:
            host.progress.serving(each, hosted.endpoint)
        up = await asyncio.to_thread(host.store.set_hosting, hosting.token, HostingState.UP)
        if up:
            host.wake("shard", hosting.parallel)
            await hosted.ending.wait()
        await _stop_shards(hosted)


async def _stop_shards(hosted: Hosted) -> None:
    """Cancel what still asks the engine; it is made again elsewhere."""
    for task in hosted.shards:
        task.cancel()
    await asyncio.gather(*hosted.shards, return_exceptions=True)


@asynccontextmanager
async def _metered(host: Host, hosted: Hosted, run: Run) -> AsyncIterator[None]:
    """End the engine before its seconds pass the run's budget."""
    if run.controls.budget is None:
        yield
        return
    meter = asyncio.create_task(_meter(host, hosted, run, run.controls.budget))
    try:
        yield
    finally:
        meter.cancel()


async def _meter(host: Host, hosted: Hosted, run: Run, budget: Decimal) -> None:
    began, hosting = time.monotonic(), hosted.hosting
    while True:
        ahead = Decimal(time.monotonic() - began + AHEAD_S) * _per_second(host, hosted, run)
        granted = await asyncio.to_thread(
            host.store.reserve_engine, run.id, hosting.endpoint_id, budget, ahead
        )
        if not granted:
            await asyncio.to_thread(host.store.end_hosting, hosting.id, BUDGET)
            await asyncio.to_thread(_mark, host, hosting)
            hosted.ending.set()
            return
        await asyncio.sleep(BEAT_S)


def _mark(host: Host, hosting: Hosting) -> None:
    """Write the reason also while the engine still loads."""
    host.store.set_hosting(hosting.token, HostingState.ENDING, reason=BUDGET)


def _per_second(host: Host, hosted: Hosted, run: Run) -> Decimal:
    system = hosted.systems[0]
    if hosted.endpoint is None:
        return planned_tariff(system, run.controls, host.prices).per_second
    return tariff_of(system, hosted.endpoint, run.controls, host.prices).per_second
