"""The queue of runs: handed in, admitted by fair share, taken back, finished."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from qbench.errors import Conflict, RunTaken
from qbench.service.domain import Controls, Run, RunStatus
from qbench.service.plan import Plan
from qbench.service.queue import BUDGET, HELD, OPEN, Hosting, HostingState
from qbench.service.store.runs import inserted, lay_out, run_of, run_values
from qbench.service.store.shelf import Shelf, clock
from qbench.service.tables import CELL, HOSTING, IDEMPOTENCY, LEASE, RUN, SHARD

REMEMBERED = timedelta(days=7)
"""How long a submission's key is known."""

AT_REST = (
    RunStatus.PLANNED,
    RunStatus.PAUSED,
    RunStatus.CANCELLED,
    RunStatus.BUDGET,
    RunStatus.PARTIAL,
    RunStatus.DONE,
)


class Sent(Struct, frozen=True, kw_only=True):
    """A submission that may be sent again."""

    account: str
    token: str
    """The Idempotency-Key."""
    digest: str
    """Of the body."""


class Queue(Shelf):
    """Runs that the service is to make."""

    def submit(self, run: Run, sent: Sent | None = None) -> tuple[Run, bool]:
        """Write a queued run; the same submission again returns the first one's run and False.

        Raises:
            Conflict: the key came with another body before.

        """
        queued = replace(run, status=RunStatus.QUEUED)
        with self.writing() as tx:
            now = clock(tx)
            if sent is not None:
                tx.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.at < now - REMEMBERED))
                first = _sent_before(tx, sent)
                if first is not None:
                    return first, False
            tx.execute(insert(RUN), [run_values(replace(queued, queued_at=now))])
            if sent is not None:
                values = msgspec.structs.asdict(sent) | {"run_id": run.id, "at": now}
                if not inserted(tx, IDEMPOTENCY, values):
                    tx.execute(delete(RUN).where(RUN.c.id == run.id))  # a twin was quicker
                    return _known(_sent_before(tx, sent)), False
        return replace(queued, queued_at=now), True

    def sent_before(self, sent: Sent) -> Run | None:
        """Return the run that this very submission made. Raises Conflict."""
        with self.reading() as view:
            return _sent_before(view, sent)

    def enqueue(self, run_id: str, controls: Controls) -> bool:
        """Hand a run at rest to the service again; False when it has it already.

        Raises:
            RunTaken: a process outside the service works on it.

        """
        with self.writing() as tx:
            row = tx.execute(select(RUN).where(RUN.c.id == run_id).with_for_update()).one()
            if row.queued_at is not None:
                return False
            _refuse_taken(tx, run_id)
            values = {
                "status": RunStatus.QUEUED.value,
                "queued_at": clock(tx),
                "finished_at": None,
                "controls": msgspec.json.encode(controls),
            }
            tx.execute(update(RUN).where(RUN.c.id == run_id).values(values))
            tx.execute(update(SHARD).where(SHARD.c.run_id == run_id).values(hosting_id=None))
            return True

    def cancel(self, run_id: str) -> bool:
        """Take a run out of the queue, or stop it where it is worked on; False when at rest.

        Workers drop its attempts in flight and bill its engines at their next beat.
        """
        with self.writing() as tx:
            mine = (RUN.c.id == run_id) & RUN.c.queued_at.is_not(None)
            values = {"status": RunStatus.CANCELLED.value, "queued_at": None}
            if not tx.execute(update(RUN).where(mine).values(values)).rowcount:
                return False
            _end_hostings(tx, run_id, "cancelled")
            return True

    def queued(self, limit: int) -> tuple[Run, ...]:
        """Return the runs that are next, by priority and fair share."""
        with self.reading() as view:
            ids = view.execute(_fair_order().limit(limit)).scalars().all()
            rows = view.execute(select(RUN).where(RUN.c.id.in_(ids))).all()
        found = {row.id: run_of(row) for row in rows}
        return tuple(found[key] for key in ids if key in found)

    def place(self, run_id: str) -> tuple[int, int] | None:
        """Return a queued run's place (1: next) among how many; None when it does not wait."""
        order = _fair_order().subquery()
        with self.reading() as view:
            ids = list(view.execute(select(order.c.id)).scalars())
        return (ids.index(run_id) + 1, len(ids)) if run_id in ids else None

    def active(self) -> int:
        """Count the runs that the service has begun."""
        query = select(func.count()).select_from(RUN).where(_begun())
        with self.reading() as view:
            return int(view.execute(query).scalar_one())

    def begun(self) -> tuple[str, ...]:
        """Return the ids of the runs that the service has begun, oldest first."""
        query = select(RUN.c.id).where(_begun()).order_by(RUN.c.queued_at)
        with self.reading() as view:
            return tuple(view.execute(query).scalars())

    def lay_out(self, plan: Plan) -> None:
        """Write what a queued run will do, once."""
        with self.writing() as tx:
            mine = select(RUN.c.id).where(RUN.c.id == plan.run.id)
            tx.execute(mine.with_for_update(key_share=True)).one()
            there = select(func.count()).select_from(CELL).where(CELL.c.run_id == plan.run.id)
            if not tx.execute(there).scalar_one():
                lay_out(tx, plan.cells, plan.shards, plan.samples)

    def begin(
        self,
        run_id: str,
        hostings: Sequence[tuple[Hosting, Sequence[str]]],
        due: Collection[str] | None = None,
    ) -> bool:
        """Begin a queued run: write its hostings, each with its systems; False when it is begun.

        ``due``: shards of this round, where a run goes by rounds; others wait without an engine.
        """
        with self.writing() as tx:
            mine = (RUN.c.id == run_id) & (RUN.c.status == RunStatus.QUEUED.value)
            if not tx.execute(
                update(RUN).where(mine).values(status=RunStatus.RUNNING.value)
            ).rowcount:
                return False
            if due is not None:
                tx.execute(update(SHARD).where(SHARD.c.run_id == run_id).values(hosting_id=None))
            for hosting, system_ids in hostings:
                tx.execute(insert(HOSTING), [msgspec.structs.asdict(hosting)])
                shards = (SHARD.c.run_id == run_id) & SHARD.c.system_id.in_(system_ids)
                if due is not None:
                    shards &= SHARD.c.id.in_(due)
                fresh = {"hosting_id": hosting.id, "token": "", "worker_id": "", "tries": 0}
                tx.execute(update(SHARD).where(shards).values(fresh | {"reserved": None}))
            return True

    def in_rounds(self, run_id: str) -> bool:
        """Whether a run has had a round since it was handed in."""
        query = select(SHARD.c.id).where(SHARD.c.run_id == run_id, SHARD.c.hosting_id.is_not(None))
        with self.reading() as view:
            return view.execute(query.limit(1)).first() is not None

    def another_round(self, run_id: str) -> bool:
        """Queue a begun run again whose round went well; False when it did not, and for others.

        Exactly one caller queues it. An engine that failed or was ended for a reason, or a shard
        that nobody could finish, ends the run instead.
        """
        with self.writing() as tx:
            row = tx.execute(select(RUN).where(RUN.c.id == run_id).with_for_update()).first()
            if row is None or row.status != RunStatus.RUNNING or row.queued_at is None:
                return False
            mine = select(SHARD.c.hosting_id).where(SHARD.c.run_id == run_id)
            query = select(HOSTING.c.state, HOSTING.c.reason).where(HOSTING.c.id.in_(mine))
            ended = tx.execute(query).all()
            left = select(SHARD.c.id).where(
                SHARD.c.run_id == run_id,
                SHARD.c.hosting_id.is_not(None),
                SHARD.c.closed.is_(False),
            )
            well = all(one.state == HostingState.OVER.value and not one.reason for one in ended)
            if not ended or not well or tx.execute(left.limit(1)).first():
                return False
            queued = {"status": RunStatus.QUEUED.value}
            tx.execute(update(RUN).where(RUN.c.id == run_id).values(queued))
            return True

    def finish(self, run_id: str) -> RunStatus | None:
        """End a begun run in which nothing is left to do; None while there is, or for others.

        Exactly one caller gets the status.
        """
        with self.writing() as tx:
            row = tx.execute(select(RUN).where(RUN.c.id == run_id).with_for_update()).first()
            if row is None or row.status != RunStatus.RUNNING or row.queued_at is None:
                return None
            states = tx.execute(select(HOSTING).where(HOSTING.c.run_id == run_id)).all()
            if any(HostingState(hosting.state) in OPEN for hosting in states):
                return None
            status = _standing(tx, run_id, states)
            ended = status in (RunStatus.DONE, RunStatus.PARTIAL)
            values = {
                "status": status.value,
                "queued_at": None,
                "finished_at": datetime.now(UTC) if ended else None,
            }
            tx.execute(update(RUN).where(RUN.c.id == run_id).values(values))
            return status


def _sent_before(tx: Connection, sent: Sent) -> Run | None:
    query = select(IDEMPOTENCY).where(
        IDEMPOTENCY.c.account == sent.account, IDEMPOTENCY.c.token == sent.token
    )
    row = tx.execute(query).first()
    if row is None:
        return None
    if row.digest != sent.digest:
        raise Conflict(
            f"The Idempotency-Key {sent.token!r} was used for another submission.",
            hint="Send a new key with a new submission.",
        )
    return run_of(tx.execute(select(RUN).where(RUN.c.id == row.run_id)).one())


def _known(run: Run | None) -> Run:
    assert run is not None
    return run


def _refuse_taken(tx: Connection, run_id: str) -> None:
    held = tx.execute(select(LEASE).where(LEASE.c.run_id == run_id)).first()
    if held is not None and clock(tx) - held.beat_at < timedelta(seconds=30):
        raise RunTaken(
            f"Run {run_id} is being worked on outside the service.",
            hint=f"Wait until that ends, or stop it; then `qbench resume {run_id} --server URL`.",
        )


def _end_hostings(tx: Connection, run_id: str, reason: str) -> None:
    """End what nobody holds; who holds one ends it at the next beat."""
    mine = HOSTING.c.run_id == run_id
    held = mine & HOSTING.c.state.in_(HELD) & (HOSTING.c.worker_id != "")
    tx.execute(update(HOSTING).where(held).values(state=HostingState.ENDING, reason=reason))
    rest = mine & HOSTING.c.state.in_((HostingState.WAITING, HostingState.UP))
    tx.execute(update(HOSTING).where(rest).values(state=HostingState.OVER, reason=reason))


def _begun() -> Any:
    return (RUN.c.status == RunStatus.RUNNING.value) & RUN.c.queued_at.is_not(None)


def _fair_order() -> Select[Any]:
    """Order queued runs: priority, then whose account has the fewest begun and earlier ones."""
    other = RUN.alias("other")
    begun = (
        select(other.c.account_id, func.count().label("n"))
        .where(other.c.status == RunStatus.RUNNING.value, other.c.queued_at.is_not(None))
        .group_by(other.c.account_id)
        .subquery()
    )
    account = func.coalesce(RUN.c.account_id, "")
    rank = func.row_number().over(
        partition_by=account, order_by=(RUN.c.priority.desc(), RUN.c.queued_at, RUN.c.id)
    )
    turn = rank + func.coalesce(begun.c.n, 0)
    return (
        select(RUN.c.id)
        .outerjoin(begun, func.coalesce(begun.c.account_id, "") == account)
        .where(RUN.c.status == RunStatus.QUEUED.value, RUN.c.queued_at.is_not(None))
        .order_by(RUN.c.priority.desc(), turn, RUN.c.queued_at, RUN.c.id)
    )


def _standing(tx: Connection, run_id: str, hostings: Sequence[Row[Any]]) -> RunStatus:
    left = select(func.sum(CELL.c.planned - CELL.c.scored - CELL.c.unscored))
    if tx.execute(left.where(CELL.c.run_id == run_id)).scalar_one() == 0:
        return RunStatus.DONE
    out_of_money = any(hosting.reason == BUDGET for hosting in hostings)
    return RunStatus.BUDGET if out_of_money else RunStatus.PARTIAL
