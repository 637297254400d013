"""What monitoring asks every few seconds: a few aggregates, none over attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Float, Select, cast, func, literal, select

from qbench.service.domain import RunStatus
from qbench.service.store.shelf import Shelf
from qbench.service.tables import HOSTING, RUN, SHARD, SPENDING, WORKER

WAITING = "waiting"
"""State of a hosting that no worker has yet."""
GONE = ("over", "failed")
"""States of hostings that are history."""
SILENT_AFTER = timedelta(seconds=60)
"""A worker that has not beaten for so long is not counted."""


class Gauges(Struct, frozen=True, kw_only=True):
    """Where the service stands at one moment."""

    waiting: dict[str, int]
    """By queue: runs nobody has begun, engines nobody hosts, shards nobody works on."""
    oldest_s: float
    """Seconds that the first run in the queue has waited; 0 when none waits."""
    runs: dict[str, int]
    """By status; every status is there."""
    workers: dict[str, int]
    """Workers heard of lately: ``working`` and ``draining``."""
    engines: dict[str, int]
    """Engines of runs by state, those that are over left out."""
    dollars: dict[str, float]
    """All runs' known dollars by basis; rounded, for a graph and not for the books."""


class Gauging(Shelf):
    """Reading the gauges."""

    def gauges(self, now: datetime | None = None) -> Gauges:
        """Return where the service stands. Raises StoreError."""
        at = now or datetime.now(UTC)
        with self.reading() as view, view.begin():
            runs = _numbers(view, select(RUN.c.status, func.count()).group_by(RUN.c.status))
            engines = _numbers(view, ENGINES)
            first = view.execute(FIRST).scalar_one_or_none()
            return Gauges(
                waiting={
                    "run": view.execute(QUEUED).scalar_one(),
                    "hosting": engines.get(WAITING, 0),
                    "shard": view.execute(FREE).scalar_one(),
                },
                oldest_s=max(0.0, (at - first).total_seconds()) if first else 0.0,
                runs={status.value: runs.get(status.value, 0) for status in RunStatus},
                workers=_workers(view, at),
                engines=engines,
                dollars=_numbers(view, DOLLARS),
            )


_IS_QUEUED = (RUN.c.status == RunStatus.QUEUED.value) & RUN.c.queued_at.is_not(None)
QUEUED = select(func.count()).select_from(RUN).where(_IS_QUEUED)
FIRST = select(RUN.c.queued_at).where(_IS_QUEUED).order_by(RUN.c.queued_at).limit(1)
ENGINES = (
    select(HOSTING.c.state, func.count())
    .where(HOSTING.c.state.not_in(GONE))
    .group_by(HOSTING.c.state)
)
FREE = (
    select(func.count())
    .select_from(SHARD)
    .join(HOSTING, HOSTING.c.id == SHARD.c.hosting_id)
    .where(HOSTING.c.state.not_in(GONE), SHARD.c.closed.is_(False), SHARD.c.token == literal(""))
)
"""By way of the open hostings, of which there are few: shards are kept for ever."""
DOLLARS = (
    select(SPENDING.c.basis, func.sum(cast(SPENDING.c.dollars, Float)))
    .where(SPENDING.c.priced > 0)
    .group_by(SPENDING.c.basis)
)


def _numbers(view: Connection, query: Select[Any]) -> dict[str, Any]:
    return {name: number for name, number in view.execute(query)}  # noqa: C416 - rows are no pairs


def _workers(view: Connection, at: datetime) -> dict[str, int]:
    query = (
        select(WORKER.c.draining, func.count())
        .where(WORKER.c.beat_at > at - SILENT_AFTER)
        .group_by(WORKER.c.draining)
    )
    found = {bool(draining): number for draining, number in view.execute(query)}
    return {"working": found.get(False, 0), "draining": found.get(True, 0)}
