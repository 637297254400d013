"""Where what recurs is kept: this machine's database, or a server. The same either way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Protocol

from qbench.cli.remote import RemoteSource, connected
from qbench.cli.source import place_of
from qbench.service import timetable
from qbench.service.access import LOCAL
from qbench.service.domain import Basis
from qbench.service.pricebook import read_prices
from qbench.service.reports.history.report import History, history_of
from qbench.service.repricing import Repriced, keep, reprice
from qbench.service.schedules import Recurring, Schedule
from qbench.service.store import Store
from qbench.service.timetable import Fired, ScheduleDetail, Timetable


class Timetables(Protocol):
    """What the verbs of schedules ask; each raises NotFound for a name that does not exist."""

    def all(self) -> Timetable:
        """List the schedules."""
        ...

    def add(self, what: Recurring) -> Schedule:
        """Make a schedule. Raises ConfigError."""
        ...

    def show(self, name: str) -> ScheduleDetail:
        """Return a schedule with what came of it lately."""
        ...

    def change(self, name: str, act: str) -> None:
        """``pause`` a schedule, ``resume`` it, or remove it (``rm``)."""
        ...

    def run_now(self, name: str) -> Fired:
        """Fire a schedule beside its times."""
        ...

    def history(self, schedule: str, run: str, limit: int) -> History:
        """Tell what a schedule, or all runs of one request, found over time."""
        ...

    def reprice(self, ref: str, as_of: date, basis: Basis, *, save: bool) -> Repriced:
        """Rank a run at the prices of another day."""
        ...


class LocalTimetables:
    """Those of a database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> Timetable:
        """List the schedules."""
        return Timetable(schedules=self._store.schedules())

    def add(self, what: Recurring) -> Schedule:
        """Make a schedule."""
        return timetable.add(self._store, what, LOCAL, datetime.now(UTC))

    def show(self, name: str) -> ScheduleDetail:
        """Return a schedule with what came of it lately."""
        return timetable.detail_of(self._store, name)

    def change(self, name: str, act: str) -> None:
        """Pause, resume or remove a schedule."""
        now = datetime.now(UTC)
        if act == "pause":
            timetable.pause(self._store, name)
        elif act == "resume":
            timetable.resume(self._store, name, now)
        else:
            timetable.remove(self._store, name, now)

    def run_now(self, name: str) -> Fired:
        """Fire a schedule beside its times."""
        return timetable.run_now(self._store, name, datetime.now(UTC))

    def history(self, schedule: str, run: str, limit: int) -> History:
        """Tell what was found over time."""
        return history_of(self._store, schedule=schedule, run=run, limit=limit)

    def reprice(self, ref: str, as_of: date, basis: Basis, *, save: bool) -> Repriced:
        """Rank a run at the prices of another day."""
        found = reprice(self._store, ref, read_prices(), as_of, basis)
        if save:
            keep(self._store, found, datetime.now(UTC))
        return found


class RemoteTimetables:
    """Those of a server."""

    def __init__(self, source: RemoteSource) -> None:
        self._source = source

    def all(self) -> Timetable:
        """List the schedules."""
        return self._source.get(Timetable, "/v1/schedules")

    def add(self, what: Recurring) -> Schedule:
        """Make a schedule."""
        return self._source.post(Schedule, "/v1/schedules", what)

    def show(self, name: str) -> ScheduleDetail:
        """Return a schedule with what came of it lately."""
        return self._source.get(ScheduleDetail, f"/v1/schedules/{name}")

    def change(self, name: str, act: str) -> None:
        """Pause, resume or remove a schedule."""
        if act == "rm":
            self._source.delete(f"/v1/schedules/{name}")
        else:
            self._source.post(Schedule, f"/v1/schedules/{name}/{act}")

    def run_now(self, name: str) -> Fired:
        """Fire a schedule beside its times."""
        return self._source.post(Fired, f"/v1/schedules/{name}/run-now")

    def history(self, schedule: str, run: str, limit: int) -> History:
        """Tell what was found over time."""
        return self._source.get(History, "/v1/history", schedule=schedule, run=run, limit=limit)

    def reprice(self, ref: str, as_of: date, basis: Basis, *, save: bool) -> Repriced:
        """Rank a run at the prices of another day."""
        query = f"as_of={as_of}&basis={basis}&save={str(save).lower()}"
        return self._source.post(Repriced, f"/v1/runs/{ref}/reprice?{query}")


@contextmanager
def open_timetables(server: str, database: str) -> Iterator[Timetables]:
    """Open a server where one is named, else the database. Raises ConfigError for both."""
    place = place_of(server, database)
    if place:
        with connected(place) as http:
            yield RemoteTimetables(RemoteSource(http))
    else:
        with Store.open(database) as store:
            yield LocalTimetables(store)
