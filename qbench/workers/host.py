"""A worker process: one event loop with the engines it hosts, the shards it works on, its beat.

Celery's threads call ``Host.do``, which runs a step on the loop. What the process holds it holds by
leases in the database; when it dies, others find them expired.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.suite import Environment
from qbench.errors import BrokerDown, StoreError
from qbench.service.desk import Waker
from qbench.service.domain import Endpoint, System
from qbench.service.pricebook import PriceBook
from qbench.service.queue import Hosting, HostingState, Worker
from qbench.service.rates import Rates
from qbench.service.store import Recorded, Store
from qbench.workers.engines import Serving
from qbench.workers.kept import Kept
from qbench.workers.progress import Progress, Silent
from qbench.workers.recorder import Recorder

logger = logging.getLogger(__name__)

Tasks = tuple[Callable[["Host"], Coroutine[Any, Any, None]], ...]
"""What runs on the loop beside the steps."""

BEAT_S = 1.0
SLOTS = 16
"""Attempts of one suite that may have tools open at once."""


@dataclass(kw_only=True)
class Hosted:
    """An engine that this process hosts."""

    hosting: Hosting
    systems: tuple[System, ...]
    devices: tuple[str, ...]
    device_token: str
    task: asyncio.Task[None] | None = None
    serving: Serving | None = None
    endpoint: Endpoint | None = None
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    died: str = ""
    """Why it must be started anew; empty while it works."""
    shards: set[asyncio.Task[Any]] = field(default_factory=set)


class Host:
    """What the steps of one worker process share."""

    def __init__(
        self,
        store: Store,
        prices: PriceBook,
        waker: Waker,
        worker: Worker,
        *,
        rates: Rates | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.store = store
        self.prices = prices
        self.worker = worker
        self.rates = rates or Rates()
        self.progress = progress or Silent()
        self.engines: dict[str, Hosted] = {}
        """By token of the hosting."""
        self.shards: dict[str, asyncio.Task[None]] = {}
        """By token of the shard."""
        self.draining = False
        self._waker = waker
        self._environments: dict[str, Kept[Environment]] = {}
        self._recorder: Recorder[Recorded] | None = None

    @property
    def recorder(self) -> Recorder[Recorded]:
        """Commits what attempts leave, together."""
        assert self._recorder is not None, "the host is not open"
        return self._recorder

    @property
    def full(self) -> bool:
        """Whether it works on as many shards as it may."""
        return len(self.shards) >= self.worker.threads

    def wake(self, queue: str, number: int = 1) -> None:
        """Wake workers; a broker that is down is no error here: a sweep will."""
        try:
            self._waker.wake(queue, number)
        except BrokerDown as error:
            logger.warning("%s", error.what)

    async def environment(self, suite: str) -> Environment:
        """Return a suite's tools, started once in this process."""
        kept = self._environments.get(suite)
        if kept is None or kept.failed:
            slots = SLOTS * self.worker.threads
            kept = self._environments[suite] = Kept(load_suite(suite).environment(slots=slots))
        return await kept.value()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Join the workers, beat, and hand everything back at the end."""
        async with Recorder(self.store.append) as recorder:
            self._recorder = recorder
            await asyncio.to_thread(self.store.join, self.worker)
            beat = asyncio.create_task(self._beat())
            try:
                yield
            finally:
                beat.cancel()
                await self._hand_back()
                with contextlib.suppress(StoreError):
                    await asyncio.to_thread(self.store.leave, self.worker.id)

    async def drain(self, grace_s: float) -> None:
        """Take nothing new; let shards end for ``grace_s``, then drop their attempts in flight."""
        self.draining = True
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(self.store.drain, self.worker.id)
        tasks = list(self.shards.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _hand_back(self) -> None:
        await self.drain(0.0)
        tasks = [hosted.task for hosted in self.engines.values() if hosted.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for kept in self._environments.values():
            with contextlib.suppress(Exception):
                await kept.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._pulse()
            except StoreError as error:  # a database that does not answer may answer the next beat
                logger.warning("%s", error.what)

    async def _pulse(self) -> None:
        devices = [hosted.device_token for hosted in self.engines.values()]
        held = set(self.shards), set(self.engines)
        tokens = [*held[0], *held[1], *filter(None, devices)]
        pulse = await asyncio.to_thread(self.store.pulse, self.worker.id, tokens)
        if not pulse.known:
            await asyncio.to_thread(self.store.join, self.worker)
        for token in held[0] - pulse.shards:
            if task := self.shards.get(token):
                task.cancel()
        for token in held[1]:
            self._heed(token, pulse.hostings.get(token))

    def _heed(self, token: str, state: HostingState | None) -> None:
        """End an engine that was told to end; drop one whose lease was lost."""
        hosted = self.engines.get(token)
        if hosted is None:
            return
        if state is HostingState.ENDING:
            hosted.ending.set()
            if hosted.serving is None and hosted.task:
                hosted.task.cancel()
        elif state is None and hosted.task:
            hosted.task.cancel()


class HostThread:
    """Runs a host on a loop in a thread of its own."""

    def __init__(self, host: Host, tasks: Tasks) -> None:
        self.host = host
        self._tasks = tasks
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="qbench-host", daemon=True)

    def start(self) -> None:
        """Start, and return when the worker is known. Raises StoreError."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def do(self, step: Callable[[Host], Coroutine[Any, Any, None]]) -> None:
        """Run a step on the loop and return when it ended; called from other threads."""
        if not self.host.draining:
            asyncio.run_coroutine_threadsafe(step(self.host), self._loop).result()

    def drain(self, grace_s: float) -> None:
        """Begin to drain; returns at once."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self.host.drain(grace_s), self._loop)

    def stop(self) -> None:
        """Hand everything back and return when that is done."""
        stop = self._stop
        if stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(stop.set)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as error:  # told to whoever started it
            self._failure = error
            logger.exception("the worker's loop ended")
        finally:
            self._loop.close()
            self._ready.set()

    async def _live(self) -> None:
        self._stop = asyncio.Event()
        async with self.host.open():
            background = [asyncio.create_task(task(self.host)) for task in self._tasks]
            self._ready.set()
            await self._stop.wait()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
