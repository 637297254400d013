"""What one does with schedules: make, show, pause, resume, remove, fire. For REST and CLI alike."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from qbench.errors import ConfigError
from qbench.service.access import Caller
from qbench.service.domain import new_id
from qbench.service.reports.values import SCHEMA
from qbench.service.schedules import Alert, Firing, Recurring, Schedule, checked, next_at
from qbench.service.store import Store

NEWEST = 20
"""Firings in a schedule's details."""


class Timetable(Struct, frozen=True, kw_only=True):
    """Every schedule that was not removed, by name."""

    schedules: tuple[Schedule, ...]
    schema: int = SCHEMA


class ScheduleDetail(Struct, frozen=True, kw_only=True):
    """A schedule with what came of it lately."""

    schedule: Schedule
    firings: tuple[Firing, ...]
    """The newest, oldest first."""
    alerts: tuple[Alert, ...]
    """Of those firings; one without ``delivered_at`` says in ``error`` why."""
    schema: int = SCHEMA


class Fired(Struct, frozen=True, kw_only=True):
    """A firing beside the schedule's own times."""

    firing: Firing
    schema: int = SCHEMA


def add(store: Store, what: Recurring, caller: Caller, now: datetime) -> Schedule:
    """Make a schedule. Raises ConfigError for what could never be done, or a name that is taken."""
    first = checked(what, now)
    schedule = Schedule(
        id=new_id(),
        account_id=caller.account_id,
        what=what,
        paused=False,
        created_at=now,
        next_at=first,
    )
    store.add_schedule(schedule)
    return schedule


def detail_of(store: Store, name: str) -> ScheduleDetail:
    """Show a schedule. Raises NotFound."""
    schedule = store.schedule(name)
    firings = store.firings(schedule.id)[-NEWEST:]
    alerts = store.alerts([firing.id for firing in firings]) if firings else ()
    return ScheduleDetail(schedule=schedule, firings=firings, alerts=alerts)


def pause(store: Store, name: str) -> Schedule:
    """Let a schedule not come due; a run under way goes on. Raises NotFound."""
    schedule = _live(store, name)
    store.pause_schedule(schedule.id)
    return store.schedule(schedule.id)


def resume(store: Store, name: str, now: datetime) -> Schedule:
    """Let a schedule come due again, from its next time on. Raises NotFound."""
    schedule = _live(store, name)
    store.resume_schedule(schedule.id, next_at(schedule.what.cron, schedule.what.timezone, now))
    return store.schedule(schedule.id)


def remove(store: Store, name: str, now: datetime) -> None:
    """Take a schedule away; its runs and its history stay. Raises NotFound."""
    store.remove_schedule(_live(store, name).id, now)


def run_now(store: Store, name: str, now: datetime) -> Fired:
    """Make a firing now; the next beat of the service takes it up. Raises NotFound."""
    return Fired(firing=store.fire_now(_live(store, name).id, now))


def _live(store: Store, name: str) -> Schedule:
    schedule = store.schedule(name)
    if schedule.removed_at is not None:
        raise ConfigError(
            f"The schedule {schedule.name!r} was removed.", hint="Its history can still be read."
        )
    return schedule
