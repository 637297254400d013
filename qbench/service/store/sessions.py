"""Who works on a run: the lease of the process that drives it, and its engine sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Row, delete, insert, select, update

from qbench.errors import RunTaken
from qbench.service.domain import Endpoint, EngineSeconds, LedgerLine
from qbench.service.store.ledger import insert_lines
from qbench.service.store.shelf import Shelf, clock
from qbench.service.tables import ENDPOINT, LEASE, RUN

LEASE_S = 30.0
"""Seconds without a beat after which a process of another machine counts as dead."""


class Holder(Struct, frozen=True, kw_only=True):
    """A process that drives a run."""

    token: str
    """Drawn for each lease: tells two leases of one process apart."""
    host: str
    """For people."""
    node: str
    """Digest of what makes a process number unique: machine, boot, container. Empty: unknown."""
    pid: int
    began: str
    """When the process started, as its system tells it: numbers are used again."""
    since: datetime
    """When it took the run."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since:%Y-%m-%d %H:%M} UTC)"


Alive = Callable[[Holder], bool | None]
"""Whether a holder still runs; None when that cannot be seen from here."""


class Sessions(Shelf):
    """Leases and engine sessions."""

    def take_lease(self, run_id: str, holder: Holder, alive: Alive) -> None:
        """Give the run to ``holder`` unless a living process has it.

        A process seen dead by ``alive`` loses the run at once, one that cannot be seen after
        ``LEASE_S`` without a beat.

        Raises:
            RunTaken: names the process that has the run.

        """
        with self.writing() as tx:
            mine = select(RUN.c.queued_at).where(RUN.c.id == run_id)
            if tx.execute(mine.with_for_update(key_share=True)).scalar_one() is not None:
                raise _queued(run_id)
            now = clock(tx)
            row = tx.execute(select(LEASE).where(LEASE.c.run_id == run_id)).first()
            if row is not None and not _free(row, now, alive):
                raise _taken(run_id, _holder(row))
            tx.execute(delete(LEASE).where(LEASE.c.run_id == run_id))
            body = msgspec.json.encode(holder)
            values = {"run_id": run_id, "token": holder.token, "beat_at": now, "holder": body}
            tx.execute(insert(LEASE), [values])

    def beat_lease(self, run_id: str, token: str) -> bool:
        """Write a sign of life; False when the lease was lost."""
        mine = (LEASE.c.run_id == run_id) & (LEASE.c.token == token)
        with self.writing() as tx:
            return bool(tx.execute(update(LEASE).where(mine).values(beat_at=clock(tx))).rowcount)

    def release_lease(self, run_id: str, token: str) -> None:
        """Give the run back; does nothing when it was lost."""
        mine = (LEASE.c.run_id == run_id) & (LEASE.c.token == token)
        with self.writing() as tx:
            tx.execute(delete(LEASE).where(mine))

    def holder(self, run_id: str) -> Holder | None:
        """Return the process that took the run and did not give it back, dead or alive."""
        with self.reading() as view:
            row = view.execute(select(LEASE).where(LEASE.c.run_id == run_id)).first()
        return _holder(row) if row else None

    def open_endpoint(self, endpoint: Endpoint, *, healthy: bool = True) -> None:
        """Write down that an engine session began; not ``healthy`` while the engine loads."""
        with self.writing() as tx:
            tx.execute(insert(ENDPOINT), [endpoint_values(endpoint) | {"healthy": healthy}])

    def publish_endpoint(self, endpoint: Endpoint) -> None:
        """Write down that the engine of an open session is up, and what really runs."""
        values = {
            "healthy": True,
            "seconds": msgspec.json.encode(endpoint.seconds),
            "body": msgspec.json.encode(endpoint),
        }
        with self.writing() as tx:
            tx.execute(update(ENDPOINT).where(ENDPOINT.c.id == endpoint.id).values(values))

    def touch_endpoint(self, endpoint_id: str, seconds: EngineSeconds, at: datetime) -> None:
        """Write a sign of life, with how the engine spent its time so far."""
        values = {"seconds": msgspec.json.encode(seconds), "touched_at": at}
        open_one = (ENDPOINT.c.id == endpoint_id) & ENDPOINT.c.stopped_at.is_(None)
        with self.writing() as tx:
            tx.execute(update(ENDPOINT).where(open_one).values(values))

    def close_endpoint(
        self, endpoint_id: str, seconds: EngineSeconds, at: datetime, lines: Sequence[LedgerLine]
    ) -> None:
        """End an engine session and book its bill, both or neither. A second call does nothing."""
        values = {"seconds": msgspec.json.encode(seconds), "touched_at": at, "stopped_at": at}
        closing = (
            update(ENDPOINT)
            .where(ENDPOINT.c.id == endpoint_id, ENDPOINT.c.stopped_at.is_(None))
            .values(values)
            .returning(ENDPOINT.c.run_id)
        )
        with self.writing() as tx:
            run_id = tx.execute(closing).scalar_one_or_none()
            if run_id is not None and lines:
                insert_lines(tx, [(run_id, line) for line in lines])

    def endpoints(self, run_id: str) -> tuple[Endpoint, ...]:
        """Return a run's engine sessions whose engine came up, oldest first."""
        query = select(ENDPOINT).where(ENDPOINT.c.run_id == run_id, ENDPOINT.c.healthy)
        with self.reading() as view:
            rows = view.execute(query.order_by(ENDPOINT.c.id)).all()
        return tuple(endpoint_of(row, stopped_at=row.stopped_at) for row in rows)

    def orphaned_endpoints(self, run_id: str) -> tuple[Endpoint, ...]:
        """Return sessions that nobody ended; ``stopped_at`` is their last sign of life."""
        query = select(ENDPOINT).where(ENDPOINT.c.run_id == run_id, ENDPOINT.c.stopped_at.is_(None))
        with self.reading() as view:
            rows = view.execute(query.order_by(ENDPOINT.c.id)).all()
        return tuple(endpoint_of(row, stopped_at=row.touched_at) for row in rows)


def _free(row: Row[Any], now: datetime, alive: Alive) -> bool:
    """Say whether the lease in ``row`` may be taken over."""
    living = alive(_holder(row))
    if living is None:
        expires: datetime = row.beat_at + timedelta(seconds=LEASE_S)
        return now > expires
    return not living


def _queued(run_id: str) -> RunTaken:
    return RunTaken(
        f"Run {run_id} is in the hands of the service.",
        hint=f"Follow it with `qbench watch {run_id}`, or take it back: qbench cancel {run_id}",
    )


def _taken(run_id: str, holder: Holder) -> RunTaken:
    return RunTaken(
        f"Run {run_id} is being worked on by {holder}.",
        hint=f"Follow it with `qbench watch {run_id}`, or end that process with "
        f"`kill -INT {holder.pid}` there and run the same command again. A process that died is "
        f"noticed at once on its own machine, and after {LEASE_S:.0f} s from elsewhere.",
    )


def _holder(row: Row[Any]) -> Holder:
    return msgspec.json.decode(row.holder, type=Holder)


def endpoint_values(endpoint: Endpoint) -> dict[str, Any]:
    """Write an engine session as its row, apart from whether it is healthy."""
    return {
        "id": endpoint.id,
        "run_id": endpoint.run_id or None,
        "touched_at": endpoint.started_at,
        "stopped_at": None,
        "seconds": msgspec.json.encode(endpoint.seconds),
        "body": msgspec.json.encode(endpoint),
    }


def endpoint_of(row: Row[Any], *, stopped_at: datetime | None) -> Endpoint:
    """Read a row back as the engine session it was."""
    body = msgspec.json.decode(row.body, type=Endpoint)
    seconds = msgspec.json.decode(row.seconds, type=EngineSeconds)
    return replace(body, seconds=seconds, stopped_at=stopped_at)
