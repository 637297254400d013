"""Leases: workers that beat, the devices they use, the engines and shards they hold.

Each lease has a token drawn anew: who lost a lease can change nothing any more. All times are the
database's, so that machines whose clocks disagree agree on what has expired.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)

from qbench.service.domain import RunStatus, new_id
from qbench.service.queue import (
    HELD,
    HOSTING_TRIES,
    SHARD_TRIES,
    WORKER_LEASE_S,
    Hosting,
    HostingState,
    LeasedShard,
    Pulse,
    Worker,
    WorkerView,
)
from qbench.service.store.devices import LEASE
from qbench.service.store.runs import shard_of
from qbench.service.store.shelf import Shelf, clock
from qbench.service.tables import DEVICE, HOSTING, RUN, SHARD, WORKER

OTHER = SHARD.alias("other")
FREE = {"token": "", "worker_id": "", "beat_at": None, "reserved": None}


class Leasing(Shelf):
    """Who works on what."""

    def join(self, worker: Worker) -> None:
        """Write that a worker is there."""
        with self.writing() as tx:
            values = {"beat_at": clock(tx), "draining": False, "body": msgspec.json.encode(worker)}
            tx.execute(delete(WORKER).where(WORKER.c.id == worker.id))
            tx.execute(WORKER.insert().values(id=worker.id, **values))

    def leave(self, worker_id: str) -> None:
        """Write that a worker is gone; whatever it still held is free."""
        with self.writing() as tx:
            _drop(tx, [worker_id], clock(tx), lost=False)

    def drain(self, worker_id: str) -> None:
        """Write that a worker takes nothing new."""
        with self.writing() as tx:
            tx.execute(update(WORKER).where(WORKER.c.id == worker_id).values(draining=True))

    def pulse(self, worker_id: str, tokens: Collection[str] = ()) -> Pulse:
        """Beat for a worker and the leases it works under, by token; tell what it still holds.

        A lease that the worker forgot, for it could not write that it gave it back, expires.
        A shard or engine of a run that was cancelled is told by its absence or its state.
        """
        with self.writing() as tx:
            now = clock(tx)
            mine = WORKER.c.id == worker_id
            known = tx.execute(update(WORKER).where(mine).values(beat_at=now)).rowcount
            for table in (SHARD, HOSTING):
                held = (table.c.worker_id == worker_id) & table.c.token.in_(tokens)
                tx.execute(update(table).where(held).values(beat_at=now))
            used = DEVICE.c.token.in_(tokens)
            tx.execute(update(DEVICE).where(used).values(beat_at=now))
            return Pulse(
                shards=_shards_held(tx, worker_id),
                hostings=_hostings_held(tx, worker_id),
                known=bool(known),
            )

    def workers(self) -> tuple[WorkerView, ...]:
        """List the workers, newest first."""
        busy = (
            select(func.count())
            .select_from(SHARD)
            .where(SHARD.c.worker_id == WORKER.c.id, SHARD.c.token != "")
            .scalar_subquery()
        )
        with self.reading() as view:
            now = clock(view)
            rows = view.execute(select(WORKER, busy.label("busy")).order_by(WORKER.c.id.desc()))
            return tuple(_worker_view(row, now) for row in rows.mappings())

    def hostings(
        self, run_id: str = "", *, state: HostingState | None = None
    ) -> tuple[Hosting, ...]:
        """List the hostings of a run, or all in a state, oldest first."""
        query = select(HOSTING).order_by(HOSTING.c.id)
        if run_id:
            query = query.where(HOSTING.c.run_id == run_id)
        if state:
            query = query.where(HOSTING.c.state == state)
        with self.reading() as view:
            return tuple(_hosting(row) for row in view.execute(query).mappings())

    def lease_hosting(self, worker: Worker, needs: str) -> Hosting | None:
        """Give a worker the next engine that has these needs; None when none waits."""
        with self.writing() as tx:
            query = (
                select(HOSTING)
                .join(RUN, RUN.c.id == HOSTING.c.run_id)
                .where(
                    HOSTING.c.state == HostingState.WAITING.value,
                    HOSTING.c.needs == needs,
                )
                .order_by(RUN.c.priority.desc(), RUN.c.queued_at, HOSTING.c.id)
                .limit(1)
                .with_for_update(of=HOSTING, skip_locked=True)
            )
            row = tx.execute(query).mappings().first()
            if row is None:
                return None
            values = {
                "state": HostingState.LOADING.value,
                "worker_id": worker.id,
                "node": worker.id,
                "token": new_id(),
                "beat_at": clock(tx),
                "endpoint_id": new_id(),
            }
            tx.execute(update(HOSTING).where(HOSTING.c.id == row["id"]).values(values))
            return _hosting(dict(row) | values)

    def wants(self) -> tuple[str, ...]:
        """Return what waiting engines need, each kind and number once."""
        waiting = select(HOSTING.c.needs).where(HOSTING.c.state == HostingState.WAITING.value)
        with self.reading() as view:
            return tuple(sorted(view.execute(waiting.distinct()).scalars()))

    def set_hosting(self, token: str, state: HostingState, **changes: str) -> bool:
        """Write where a leased engine stands; False when the lease was lost.

        An engine that was told to end stays so until it is over.
        """
        ended = (HostingState.OVER, HostingState.FAILED, HostingState.WAITING)
        values: dict[str, Any] = {"state": state.value, **changes}
        if state in ended:
            values |= {"token": "", "worker_id": "", "beat_at": None}
        mine = (HOSTING.c.token == token) & (HOSTING.c.token != "")
        if state is HostingState.UP:
            mine &= HOSTING.c.state == HostingState.LOADING.value
        with self.writing() as tx:
            return bool(tx.execute(update(HOSTING).where(mine).values(values)).rowcount)

    def lease_shard(self, worker: Worker) -> LeasedShard | None:
        """Give a worker the next shard whose engine is up and within its reach.

        Order: priority, then the account with the fewest shards under way, then the oldest run. A
        shard whose leases saved nothing ``SHARD_TRIES`` times in a row is left alone.
        """
        with self.writing() as tx:
            now = clock(tx)
            row = tx.execute(_next_hosting(now, worker.id)).mappings().first()
            if row is None:
                return None
            ready = select(SHARD).where(_ready(SHARD, now), SHARD.c.hosting_id == row["id"])
            ready = ready.order_by(SHARD.c.tries, SHARD.c.id).limit(1)
            found = tx.execute(ready.with_for_update(skip_locked=True)).mappings().first()
            if found is None:
                return None
            token = new_id()
            values = {"token": token, "worker_id": worker.id, "beat_at": now}
            more = {"tries": SHARD.c.tries + 1, "reserved": None}
            tx.execute(update(SHARD).where(SHARD.c.id == found["id"]).values(values | more))
            return LeasedShard(shard=shard_of(found), hosting=_hosting(row), token=token)

    def progressed(self, token: str) -> None:
        """Note that a leased shard saved something: neither it nor its engine is poison."""
        mine = SHARD.c.token == token
        engine = select(SHARD.c.hosting_id).where(mine).scalar_subquery()
        with self.writing() as tx:
            tx.execute(update(SHARD).where(mine).values(tries=0))
            tx.execute(update(HOSTING).where(HOSTING.c.id == engine).values(tries=0))

    def release_shard(self, token: str, *, untried: bool = False) -> bool:
        """Give a shard back; ``untried``: nothing was its fault. False when the lease was lost."""
        values: dict[str, Any] = dict(FREE)
        if untried:
            values["tries"] = 0
        mine = (SHARD.c.token == token) & (SHARD.c.token != "")
        with self.writing() as tx:
            return bool(tx.execute(update(SHARD).where(mine).values(values)).rowcount)

    def end_hosting(self, hosting_id: str, reason: str = "") -> bool:
        """End an engine when none of its shards is left to run, or at once for a reason.

        True for exactly one caller: an engine with a host is told to end, one without is over.
        """
        hosted = HOSTING.c.worker_id != ""
        with self.writing() as tx:
            left = select(SHARD.c.id).where(
                SHARD.c.hosting_id == hosting_id, SHARD.c.closed.is_(False), _unspoiled(SHARD)
            )
            mine = (HOSTING.c.id == hosting_id) & (HOSTING.c.state == HostingState.UP.value)
            if not reason:
                mine &= ~left.exists()
            ended = 0
            for has_host, state in ((hosted, HostingState.ENDING), (~hosted, HostingState.OVER)):
                values = {"state": state.value} | ({"reason": reason} if reason else {})
                ended += tx.execute(update(HOSTING).where(mine, has_host).values(values)).rowcount
            return bool(ended)

    def lost(self, dead: Collection[str] = ()) -> tuple[Hosting, ...]:
        """Drop workers that stopped beating, free their leases, return the engines they lost.

        ``dead``: workers that were seen dead; theirs need not expire.
        """
        with self.writing() as tx:
            now = clock(tx)
            mute_ones = select(WORKER.c.id).where(WORKER.c.beat_at < now - LEASE)
            _drop(tx, [*dead, *tx.execute(mute_ones).scalars()], now, lost=True)
            tx.execute(delete(DEVICE).where(DEVICE.c.beat_at < now - LEASE))
            mute = HOSTING.c.state.in_(HELD) & (HOSTING.c.worker_id != "")
            query = select(HOSTING).where(mute, HOSTING.c.beat_at < now - LEASE)
            return tuple(_hosting(row) for row in tx.execute(query).mappings())

    def requeue_hosting(self, hosting: Hosting, why: str = "its worker was lost") -> None:
        """Let an engine that died be hosted anew, unless it died too often."""
        mine = (HOSTING.c.id == hosting.id) & (HOSTING.c.token == hosting.token)
        with self.writing() as tx:
            row = tx.execute(select(HOSTING).where(mine).with_for_update()).mappings().first()
            if row is not None:
                values = _after_death(_hosting(row), why) | {"token": "", "worker_id": ""}
                tx.execute(update(HOSTING).where(mine).values(values))

    def ready(self) -> dict[str, int]:
        """Count what waits for a message, by queue: runs, engines, shards."""
        with self.reading() as view:
            now = clock(view)
            runs = select(func.count()).select_from(RUN)
            runs = runs.where(RUN.c.status == RunStatus.QUEUED.value, RUN.c.queued_at.is_not(None))
            engines = select(func.count()).select_from(HOSTING)
            engines = engines.where(HOSTING.c.state == HostingState.WAITING.value)
            shards = select(func.count()).select_from(
                SHARD.join(HOSTING, HOSTING.c.id == SHARD.c.hosting_id)
            )
            shards = shards.where(_ready(SHARD, now), HOSTING.c.state == HostingState.UP.value)
            found = {"plan": runs, "engine": engines, "shard": shards}
            return {name: int(view.execute(query).scalar_one()) for name, query in found.items()}


def _after_death(hosting: Hosting, why: str) -> dict[str, Any]:
    tries = hosting.tries + 1
    if hosting.state is HostingState.ENDING:
        return {"state": HostingState.OVER, "tries": tries}
    if tries >= HOSTING_TRIES:
        reason = f"It died {tries} times and saved nothing in between; the last: {why}"
        return {"state": HostingState.FAILED, "tries": tries, "reason": reason}
    return {"state": HostingState.WAITING, "tries": tries}


def _unspoiled(table: Any) -> ColumnElement[bool]:
    return or_(table.c.token != "", table.c.tries < SHARD_TRIES)


def _ready(table: Any, now: datetime) -> ColumnElement[bool]:
    free = (table.c.token == "") | (table.c.beat_at < now - LEASE)
    return and_(table.c.closed.is_(False), free, table.c.tries < SHARD_TRIES)


def _under_way(now: datetime, condition: ColumnElement[bool]) -> Any:
    """Count the leased shards for which ``condition`` holds."""
    live = (OTHER.c.token != "") & (OTHER.c.beat_at >= now - LEASE)
    return select(func.count()).where(live, condition).scalar_subquery()


def _next_hosting(now: datetime, worker_id: str) -> Select[Any]:
    """Choose the engine whose shard is next, and lock it: who counts its shards, counts alone."""
    theirs = RUN.alias("theirs")
    account = func.coalesce(theirs.c.account_id, "") == func.coalesce(RUN.c.account_id, "")
    fellows = select(theirs.c.id).where(account, theirs.c.queued_at.is_not(None))
    ready = select(SHARD.c.id).where(SHARD.c.hosting_id == HOSTING.c.id, _ready(SHARD, now))
    return (
        select(HOSTING)
        .join(RUN, RUN.c.id == HOSTING.c.run_id)
        .where(
            HOSTING.c.state == HostingState.UP.value,
            HOSTING.c.node.in_(("", worker_id)),
            RUN.c.status == RunStatus.RUNNING.value,
            ready.exists(),
            _under_way(now, OTHER.c.hosting_id == HOSTING.c.id) < HOSTING.c.parallel,
        )
        .order_by(
            RUN.c.priority.desc(),
            _under_way(now, OTHER.c.run_id.in_(fellows)),
            RUN.c.queued_at,
            HOSTING.c.id,
        )
        .limit(1)
        .with_for_update(of=HOSTING, skip_locked=True)
    )


def _drop(tx: Connection, worker_ids: Sequence[str], now: datetime, *, lost: bool) -> None:
    """Free what workers held; a lost worker's engines are left to be found and billed."""
    if not worker_ids:
        return
    tx.execute(update(SHARD).where(SHARD.c.worker_id.in_(worker_ids)).values(FREE))
    tx.execute(delete(WORKER).where(WORKER.c.id.in_(worker_ids)))
    if lost:
        mute = now - 2 * LEASE
        theirs = HOSTING.c.worker_id.in_(worker_ids)
        tx.execute(update(HOSTING).where(theirs).values(beat_at=mute))


def _shards_held(tx: Connection, worker_id: str) -> frozenset[str]:
    query = (
        select(SHARD.c.token)
        .join(RUN, RUN.c.id == SHARD.c.run_id)
        .join(HOSTING, HOSTING.c.id == SHARD.c.hosting_id)
        .where(
            SHARD.c.worker_id == worker_id,
            SHARD.c.token != "",
            RUN.c.status == RunStatus.RUNNING.value,
            HOSTING.c.state == HostingState.UP.value,
        )
    )
    return frozenset(tx.execute(query).scalars())


def _hostings_held(tx: Connection, worker_id: str) -> dict[str, HostingState]:
    query = select(HOSTING.c.token, HOSTING.c.state).where(
        HOSTING.c.worker_id == worker_id, HOSTING.c.token != ""
    )
    return {row.token: HostingState(row.state) for row in tx.execute(query)}


def _hosting(row: RowMapping | dict[str, Any]) -> Hosting:
    known = {name: row[name] for name in Hosting.__struct_fields__}
    return Hosting(**(known | {"state": HostingState(row["state"])}))


def _worker_view(row: RowMapping, now: datetime) -> WorkerView:
    silent = (now - row["beat_at"]).total_seconds()
    return WorkerView(
        worker=msgspec.json.decode(row["body"], type=Worker),
        beat_s=max(0.0, silent),
        alive=silent < WORKER_LEASE_S,
        draining=row["draining"],
        shards=row["busy"],
    )
