"""What all parts of the store share: a database, and transactions whose errors are explained."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select
from sqlalchemy import Engine as Database

from qbench.service.database import explained


def clock(tx: Connection) -> datetime:
    """Ask the server's clock, which all machines share; SQLite has no server and one machine."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = tx.execute(select(func.clock_timestamp())).scalar_one()
    return moment


class Shelf:
    """A database and its two kinds of transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._writer = database.execution_options(write=True)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The database's URL with its password: never to be shown."""
        return self.database.url.render_as_string(hide_password=False)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a consistent view. Raises StoreError."""
        with explained(self.database), self.database.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end or not at all. Raises StoreError.

        SQLite has one writer at a time: threads of this process queue here rather than poll there.
        """
        with self._lock, explained(self.database), self._writer.begin() as connection:
            yield connection
