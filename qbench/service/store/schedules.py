"""Schedules, their firings, alerts and snapshots. Who comes first does it, whoever comes later not.

A firing changes state only from the state its caller saw, so that two beats do nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Row, Select, insert, or_, select, update

from qbench.errors import ConfigError, NotFound
from qbench.service.domain import Run, new_id
from qbench.service.reports.values import to_json
from qbench.service.schedules import (
    OPEN,
    Alert,
    Finding,
    Firing,
    FiringState,
    Post,
    Recurring,
    Schedule,
    Snapshot,
    next_at,
)
from qbench.service.store.runs import ENDED, inserted, run_of
from qbench.service.store.shelf import Shelf
from qbench.service.tables import ALERT, FIRING, RUN, SCHEDULE, SNAPSHOT

TRIES = 8
"""Times that an alert is sent before it is left."""


class Schedules(Shelf):
    """What recurs, and what came of it."""

    def add_schedule(self, schedule: Schedule) -> None:
        """Write a schedule. Raises ConfigError when its name is taken."""
        row = {
            "id": schedule.id,
            "account_id": schedule.account_id,
            "name": schedule.name,
            "cron": schedule.what.cron,
            "timezone": schedule.what.timezone,
            "act": schedule.what.act,
            "paused": schedule.paused,
            "created_at": schedule.created_at,
            "next_at": schedule.next_at,
            "removed_at": schedule.removed_at,
            "body": msgspec.json.encode(schedule.what),
        }
        with self.writing() as tx:
            written = inserted(tx, SCHEDULE, row)
        if not written:
            raise ConfigError(
                f"There is a schedule {schedule.name!r} already.",
                hint="Choose another name, or remove that one: qbench schedule rm NAME",
            )

    def schedules(self) -> tuple[Schedule, ...]:
        """List the schedules that were not removed, by name."""
        query = select(SCHEDULE).where(SCHEDULE.c.removed_at.is_(None)).order_by(SCHEDULE.c.name)
        with self.reading() as view:
            return tuple(_schedule(row) for row in view.execute(query))

    def schedule(self, ref: str) -> Schedule:
        """Find a schedule by name, or by id even when it was removed. Raises NotFound."""
        query = select(SCHEDULE).where(or_(SCHEDULE.c.name == ref, SCHEDULE.c.id == ref))
        with self.reading() as view:
            row = view.execute(query.order_by(SCHEDULE.c.name != ref)).first()
        if row is None:
            known = [one.name for one in self.schedules()]
            if known:
                raise NotFound.among("schedule", ref, known)
            raise NotFound("There is no schedule yet.", hint="Make one: qbench schedule add NAME")
        return _schedule(row)

    def pause_schedule(self, schedule_id: str) -> None:
        """Let it not come due until it is resumed."""
        self._change(schedule_id, {"paused": True, "next_at": None})

    def resume_schedule(self, schedule_id: str, next_due: datetime) -> None:
        """Let it come due again, from ``next_due`` on; what was missed stays missed."""
        self._change(schedule_id, {"paused": False, "next_at": next_due})

    def remove_schedule(self, schedule_id: str, at: datetime) -> None:
        """Take it away and free its name; its runs and firings stay."""
        values = {"paused": True, "next_at": None, "removed_at": at, "name": f"~{schedule_id}"}
        self._change(schedule_id, values)

    def _change(self, schedule_id: str, values: dict[str, Any]) -> None:
        mine = (SCHEDULE.c.id == schedule_id) & SCHEDULE.c.removed_at.is_(None)
        with self.writing() as tx:
            tx.execute(update(SCHEDULE).where(mine).values(values))

    def due(self, now: datetime) -> tuple[Firing, ...]:
        """Make a firing of every schedule that came due, and move its next time past ``now``.

        Exactly once, whoever else asks at the same time. Times that were missed make one firing.
        """
        ready = (
            SCHEDULE.c.next_at <= now,
            SCHEDULE.c.removed_at.is_(None),
            SCHEDULE.c.paused.is_(False),
        )
        query = select(SCHEDULE).where(*ready).order_by(SCHEDULE.c.next_at)
        made = []
        with self.writing() as tx:
            for row in tx.execute(query.with_for_update(skip_locked=True)).all():
                firing = _new_firing(row.id, row.next_at, now)
                later = _later(row, now)
                mine = SCHEDULE.c.id == row.id
                tx.execute(update(SCHEDULE).where(mine).values(next_at=later))
                if inserted(tx, FIRING, _firing_values(firing)):
                    made.append(firing)
        return tuple(made)

    def fire_now(self, schedule_id: str, now: datetime) -> Firing:
        """Make a firing beside the schedule's own times."""
        firing = _new_firing(schedule_id, now, now)
        with self.writing() as tx:
            tx.execute(insert(FIRING), [_firing_values(firing)])
        return firing

    def firing(self, firing_id: str) -> Firing:
        """Find a firing. Raises NotFound."""
        with self.reading() as view:
            row = view.execute(select(FIRING).where(FIRING.c.id == firing_id)).first()
        if row is None:
            raise NotFound(f"There is no firing {firing_id!r}.", hint="See `qbench history`.")
        return _firing(row)

    def firings(
        self, schedule_id: str = "", states: Collection[FiringState] = ()
    ) -> tuple[Firing, ...]:
        """List firings, oldest first."""
        query = select(FIRING).order_by(FIRING.c.due_at, FIRING.c.id)
        if schedule_id:
            query = query.where(FIRING.c.schedule_id == schedule_id)
        if states:
            query = query.where(FIRING.c.state.in_(sorted(states)))
        with self.reading() as view:
            return tuple(_firing(row) for row in view.execute(query))

    def open_firings(self, schedule_id: str = "") -> tuple[Firing, ...]:
        """List firings that have not come to their end."""
        return self.firings(schedule_id, OPEN)

    def advance_firing(
        self, before: Firing, after: Firing, posts: Sequence[Post] = (), *, at: datetime
    ) -> bool:
        """Write what became of a firing with the alerts it raised, both or neither.

        False, and nothing is written, when it is not in the state of ``before`` any more.
        """
        mine = (FIRING.c.id == before.id) & (FIRING.c.state == before.state)
        values = _firing_values(after)
        rows = [_alert_values(before.id, post, at) for post in posts]
        with self.writing() as tx:
            if not tx.execute(update(FIRING).where(mine).values(values)).rowcount:
                return False
            if rows:
                tx.execute(insert(ALERT), rows)
        return True

    def runs_by_id(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return runs by id; unknown ids are absent."""
        query = select(RUN).where(RUN.c.id.in_(sorted(run_ids)))
        with self.reading() as view:
            return {row.id: run_of(row) for row in view.execute(query)}

    def ended_runs(self, *, request_id: str = "", limit: int = 50) -> tuple[Run, ...]:
        """List the newest runs that came to an end, oldest first; of one request, or of any."""
        query = select(RUN).where(RUN.c.status.in_([status.value for status in ENDED]))
        if request_id:
            query = query.where(RUN.c.request_id == request_id)
        newest = query.order_by(RUN.c.created_at.desc(), RUN.c.id.desc()).limit(limit)
        with self.reading() as view:
            return tuple(run_of(row) for row in reversed(view.execute(newest).all()))

    def alerts(self, firing_ids: Collection[str] = ()) -> tuple[Alert, ...]:
        """List alerts, oldest first; of some firings, or of all."""
        query = select(ALERT).order_by(ALERT.c.at, ALERT.c.id)
        if firing_ids:
            query = query.where(ALERT.c.firing_id.in_(sorted(firing_ids)))
        return self._alerts(query)

    def undelivered(self, now: datetime) -> tuple[Alert, ...]:
        """List the alerts whose next try is due."""
        query = select(ALERT).where(ALERT.c.delivered_at.is_(None), ALERT.c.tries < TRIES)
        found = self._alerts(query.order_by(ALERT.c.at, ALERT.c.id))
        return tuple(a for a in found if a.post.next_try_at is None or a.post.next_try_at <= now)

    def _alerts(self, query: Select[Any]) -> tuple[Alert, ...]:
        with self.reading() as view:
            return tuple(_alert(row) for row in view.execute(query))

    def claim_alert(self, alert: Alert, next_try_at: datetime) -> Alert | None:
        """Take an alert's next try; None when another sender was quicker.

        Who dies after that loses nothing: the alert comes up again at ``next_try_at``.
        """
        post = replace(alert.post, next_try_at=next_try_at)
        unclaimed = (
            (ALERT.c.id == alert.id)
            & (ALERT.c.tries == alert.tries)
            & ALERT.c.delivered_at.is_(None)
        )
        values = {"tries": alert.tries + 1, "body": msgspec.json.encode(post)}
        with self.writing() as tx:
            if not tx.execute(update(ALERT).where(unclaimed).values(values)).rowcount:
                return None
        return replace(alert, post=post, tries=alert.tries + 1)

    def save_delivery(self, alert: Alert) -> None:
        """Write which channels took an alert, and why others did not."""
        values = {
            "body": msgspec.json.encode(alert.post),
            "delivered_at": alert.delivered_at,
            "error": alert.error,
        }
        with self.writing() as tx:
            tx.execute(update(ALERT).where(ALERT.c.id == alert.id).values(values))

    def add_snapshot(self, snapshot: Snapshot) -> bool:
        """Keep a snapshot; False when it is there already."""
        row = {name: getattr(snapshot, name) for name in ("id", "run_id", "at", "as_of", "basis")}
        with self.writing() as tx:
            return inserted(tx, SNAPSHOT, row | {"body": to_json(snapshot.leaderboard)})

    def snapshots(self, run_ids: Collection[str]) -> tuple[Snapshot, ...]:
        """List the snapshots of runs, oldest prices first."""
        query = select(SNAPSHOT).where(SNAPSHOT.c.run_id.in_(sorted(run_ids)))
        with self.reading() as view:
            rows = view.execute(query.order_by(SNAPSHOT.c.as_of, SNAPSHOT.c.id)).all()
        return tuple(_snapshot(row) for row in rows)


def _new_firing(schedule_id: str, due_at: datetime, now: datetime) -> Firing:
    return Firing(id=new_id(), schedule_id=schedule_id, due_at=due_at, at=now, state="due")


def _later(row: Row[Any], now: datetime) -> datetime | None:
    """Return the next time; None when there is none any more: others must not suffer."""
    try:
        return next_at(row.cron, row.timezone, now)
    except ConfigError:
        return None


def _firing_values(firing: Firing) -> dict[str, Any]:
    plain = ("id", "schedule_id", "due_at", "at", "state", "run_id", "confirm_run_id")
    return {name: getattr(firing, name) for name in plain} | {
        "body": msgspec.json.encode(firing.found)
    }


def _firing(row: Row[Any]) -> Firing:
    return Firing(
        id=row.id,
        schedule_id=row.schedule_id,
        due_at=row.due_at,
        at=row.at,
        state=row.state,
        run_id=row.run_id,
        confirm_run_id=row.confirm_run_id,
        found=msgspec.json.decode(row.body, type=Finding),
    )


def _schedule(row: Row[Any]) -> Schedule:
    return Schedule(
        id=row.id,
        account_id=row.account_id,
        what=msgspec.json.decode(row.body, type=Recurring),
        paused=row.paused,
        created_at=row.created_at,
        next_at=row.next_at,
        removed_at=row.removed_at,
    )


def _alert_values(firing_id: str, post: Post, at: datetime) -> dict[str, Any]:
    return {
        "id": post.notice.alert,
        "firing_id": firing_id,
        "at": at,
        "delivered_at": None,
        "tries": 0,
        "error": "",
        "body": msgspec.json.encode(post),
    }


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        id=row.id,
        firing_id=row.firing_id,
        at=row.at,
        post=msgspec.json.decode(row.body, type=Post),
        delivered_at=row.delivered_at,
        tries=row.tries,
        error=row.error,
    )


def _snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(
        id=row.id,
        run_id=row.run_id,
        at=row.at,
        as_of=row.as_of,
        basis=row.basis,
        leaderboard=msgspec.json.decode(row.body),
    )
