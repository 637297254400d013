"""Celery's steps: thin names over the host's. A worker process has one host.

A failing model is a result, never an exception of a step; what a step could not do is found again
by a sweep.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery, Task, signals
from celery.beat import EmbeddedService
from celery.worker import state as worker_state

from qbench.errors import QbenchError
from qbench.service.broker import QUEUES, SWEEP_S, step_name
from qbench.workers.host import Host, HostThread
from qbench.workers.hosting import engine_step
from qbench.workers.planning import plan_step, sweep_step
from qbench.workers.shard_work import shard_step

logger = logging.getLogger(__name__)

Step = Callable[[Host], Coroutine[Any, Any, None]]
STEPS: dict[str, Step] = {"plan": plan_step, "engine": engine_step, "shard": shard_step}
SPARE_THREADS = 2
"""Beside those that wait for shards: for plans and engines."""


async def sweeping(host: Host) -> None:
    """Sweep once when the worker comes, then every ``SWEEP_S``, one worker of all at a time."""
    due = True
    while True:
        try:
            if due or await asyncio.to_thread(host.store.my_turn, "sweep", SWEEP_S):
                await sweep_step(host)
        except QbenchError as error:
            logger.warning("%s", error.what)
        due = False
        await asyncio.sleep(SWEEP_S)


def register(app: Celery, host: HostThread, tick: Callable[[], None]) -> None:
    """Give the application its steps; ``tick`` looks at what recurs."""
    for queue, step in STEPS.items():
        app.task(name=step_name(queue), bind=True)(_calling(host, step))

    def recurring(_: Task[Any, Any]) -> None:
        try:
            tick()
        except QbenchError as error:
            logger.warning("%s", error)

    app.task(name=step_name("tick"), bind=True)(recurring)


def _calling(host: HostThread, step: Step) -> Callable[[Task[Any, Any]], None]:
    def call(_: Task[Any, Any]) -> None:
        try:
            host.do(step)
        except QbenchError as error:
            logger.warning("%s", error)

    return call


def serve(app: Celery, host: HostThread, *, threads: int, grace_s: float) -> None:
    """Work on messages until SIGTERM or SIGINT; then drain, hand back what is held, and return."""
    host.start()

    def draining(**_: Any) -> None:
        host.drain(grace_s)

    signals.worker_shutting_down.connect(draining, weak=False)
    try:
        app.Worker(hostname=f"{host.host.worker.id}@%h", **_settings(threads)).start()
    finally:
        host.stop()


@contextmanager
def serving(app: Celery, host: HostThread, *, threads: int, grace_s: float) -> Iterator[None]:
    """Work on messages, and send the periodic ones, in threads while the body runs."""
    host.start()
    worker = app.WorkController(**_settings(threads))
    thread = threading.Thread(target=worker.start, name="qbench-worker", daemon=True)
    beat = EmbeddedService(app, thread=True, scheduler_cls="celery.beat:Scheduler")
    thread.start()
    beat.start()
    try:
        yield
    finally:
        host.drain(grace_s)
        beat.stop()
        worker_state.should_stop = 0
        thread.join()
        host.stop()


def _settings(threads: int) -> dict[str, Any]:
    return {
        "pool": "threads",
        "concurrency": threads + SPARE_THREADS,
        "queues": ",".join(QUEUES),
        "loglevel": None,
        "without_gossip": True,
        "without_mingle": True,
        "task_events": True,
    }
