"""Every query of qbench, and the append-only ledger: the only caller of SQL."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from qbench.service import database as db
from qbench.service.store.accounts import Accounts
from qbench.service.store.attempts import Attempts, Recorded
from qbench.service.store.booked import Booked
from qbench.service.store.calls import Calls
from qbench.service.store.columns import Columns
from qbench.service.store.devices import Devices
from qbench.service.store.gauges import Gauges, Gauging
from qbench.service.store.imported import Imports
from qbench.service.store.leasing import Leasing
from qbench.service.store.probes import Probe, Probes
from qbench.service.store.queue import Queue, Sent
from qbench.service.store.reading import AttemptView, Exported, Reading
from qbench.service.store.reserves import Reserves
from qbench.service.store.runs import Closed, Runs
from qbench.service.store.schedules import Schedules
from qbench.service.store.sessions import LEASE_S, Holder, Sessions
from qbench.service.store.summaries import RunSummary, Summaries
from qbench.service.store.tournaments import StoredTournament, Tournaments
from qbench.service.store.usage import Usage

__all__ = [
    "LEASE_S",
    "AttemptView",
    "Closed",
    "Exported",
    "Gauges",
    "Holder",
    "Probe",
    "Recorded",
    "RunSummary",
    "Sent",
    "Store",
    "StoredTournament",
]


class Store(
    Runs,
    Sessions,
    Attempts,
    Reading,
    Columns,
    Probes,
    Summaries,
    Queue,
    Leasing,
    Devices,
    Reserves,
    Accounts,
    Calls,
    Booked,
    Gauging,
    Schedules,
    Usage,
    Tournaments,
    Imports,
):
    """One database. Safe to share between threads; every method is one transaction."""

    @classmethod
    def open(cls, url: str = "", *, upgrade: bool = True) -> Self:
        """Open, and upgrade the schema unless told not to.

        Args:
            url: a SQLite file or a database URL; empty: ``QBENCH_DATABASE``, else the user's own
                file.
            upgrade: bring an older schema up to date.

        Raises:
            ConfigError: the URL cannot be read.
            StoreError: the database cannot be used; says how to mend it.

        """
        database = db.connect(url)
        try:
            if upgrade:
                db.upgrade(database)
        except BaseException:
            database.dispose()
            raise
        return cls(database)

    @classmethod
    def open_current(cls, url: str = "") -> Self:
        """Open for a service of many processes: an older schema is refused, not upgraded.

        Raises:
            ConfigError: the URL cannot be read.
            StoreError: the database cannot be used, or `qbench db upgrade` is to be run first.

        """
        store = cls.open(url, upgrade=False)
        try:
            db.require_current(store.database)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Give the connections back."""
        self.database.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
