"""Opening a database: SQLite on a laptop, PostgreSQL for a team; schema through Alembic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, inspect, make_url
from sqlalchemy import Engine as Database
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlmodel import SQLModel

from qbench.errors import ConfigError, StoreError
from qbench.service import tables

METADATA = SQLModel.metadata
MIGRATIONS = Path(tables.__file__).parents[2] / "migrations"
ENVIRONMENT = "QBENCH_DATABASE"
OWN = ("run", "attempt", "ledger")
"""Tables by which a database of ours is known, of whatever version."""

UPGRADING = 7_302_115
"""Key of the PostgreSQL advisory lock under which one process at a time changes the schema."""


def locate(url: str = "") -> str:
    """Return the database URL: ``url``, else the environment's, else a file of the user's own.

    A plain path means a SQLite file.
    """
    wanted = url or os.environ.get(ENVIRONMENT, "")
    if "://" in wanted:
        return wanted.replace("postgresql://", "postgresql+psycopg://", 1)
    return f"sqlite:///{Path(wanted).expanduser().absolute() if wanted else default_file()}"


def default_file() -> Path:
    """Return ``qbench.db`` in the user's data folder (XDG base directories)."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "qbench" / "qbench.db"


def connect(url: str = "") -> Database:
    """Open the database without looking at its schema.

    Raises:
        ConfigError: the URL cannot be read.
        StoreError: the folder cannot be made or a driver is missing.

    """
    located = locate(url)
    try:
        parsed = make_url(located)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(located, Path(parsed.database or ""))
        return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError):
        raise ConfigError(
            f"Cannot read the database URL {url!r}.",
            hint="Give a file, or postgresql://user@host/name.",
        ) from None
    except ModuleNotFoundError as error:
        raise StoreError(
            f"The database driver {error.name} is not installed.",
            hint="pip install 'qbench[postgres]'",
        ) from None


def _sqlite(url: str, file: Path) -> Database:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot make the folder {file.parent}: {error.strerror}.",
            hint=f"Choose another file with --database or {ENVIRONMENT}.",
        ) from None
    database = create_engine(url, connect_args={"timeout": 30})
    event.listen(database, "connect", _pragmas)
    event.listen(database, "begin", _begin)
    return database


def _begin(connection: Connection) -> None:
    """Take the write lock at the start: a transaction that reads first could not get it later."""
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _pragmas(connection: Any, _record: object) -> None:
    """Write-ahead log: readers do not wait, and a commit survives ``kill -9``."""
    connection.isolation_level = None  # transactions begin where _begin says
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Turn the driver's errors into StoreError with the next step."""
    try:
        yield
    except DBAPIError as error:
        raise _explain(database, str(error.orig)) from error


CAUSES = (
    ("disk is full", "The disk is full", "Free some space and run the same command again"),
    ("no space left", "The disk is full", "Free some space and run the same command again"),
    ("not a database", "is not a qbench database", "Name another file with --database"),
    ("malformed", "is damaged", "Restore a backup, or name another file with --database"),
    ("readonly", "cannot be written", "Check its permissions, or name another with --database"),
    ("unable to open", "cannot be opened", "Check its folder, or name another with --database"),
    ("locked", "is locked by another program", "Stop that program, then run the command again"),
    ("does not exist", "does not exist", "Create it with `createdb`, or name another database"),
    ("authentication failed", "refuses this user", "Check user and password in the URL"),
    ("connection", "does not answer", "Start the server, or name another with --database"),
)


def _explain(database: Database, said: str) -> StoreError:
    shown = _shown(database)
    for mark, what, hint in CAUSES:
        if mark in said.lower():
            return StoreError(f"{shown}: {what} ({said.strip()}).", hint=f"{hint}.")
    return StoreError(f"{shown}: {said.strip()}.", hint="Run `qbench db check`.")


def _shown(database: Database) -> str:
    """Return the URL without its password."""
    return database.url.render_as_string(hide_password=True)


def upgrade(database: Database) -> None:
    """Bring the schema to this version. A newer or foreign schema is refused untouched.

    Raises:
        StoreError: newer schema, another program's tables, damaged file, no permission, no server.

    """
    with explained(database):
        found = set(inspect(database).get_table_names())  # before the revision: both come at once
        revision = current_revision(database)
        if revision == head_revision():
            return
        _refuse_foreign(database, found - {"alembic_version"}, revision)
        _alembic(database, command.upgrade, "head")


def require_current(database: Database) -> None:
    """Make the schema of an empty database; refuse an older one, which others may be using.

    Raises:
        StoreError: an older, newer or foreign schema; says what to run.

    """
    revision = current_revision(database)
    if revision in (None, head_revision()) or not _is_known(revision):
        upgrade(database)
        return
    raise StoreError(
        f"The schema of {_shown(database)} is {revision}; this version needs {head_revision()}.",
        hint="Stop the API, workers and beat, then run `qbench db upgrade`.",
    )


def _is_known(revision: str | None) -> bool:
    known = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    return any(script.revision == revision for script in known)


def _refuse_foreign(database: Database, found: set[str], revision: str | None) -> None:
    """Raise StoreError for a database that has tables, but not ours."""
    if not found or (revision is not None and set(OWN) <= found):
        return
    raise StoreError(
        f"{_shown(database)} belongs to another program (tables {', '.join(sorted(found)[:4])}).",
        hint=f"Name another database with --database or {ENVIRONMENT}.",
    )


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to ``revision`` (``base`` removes all tables)."""
    with explained(database):
        _alembic(database, command.downgrade, revision)


def drift(database: Database) -> list[Any]:
    """Return how the schema differs from ``tables``; empty when it does not."""
    with explained(database), database.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))


def current_revision(database: Database) -> str | None:
    """Return the schema's revision, None for an empty database."""
    with explained(database), database.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str | None:
    """Return the newest revision this version knows."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _alembic(database: Database, act: Any, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with database.execution_options(write=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADING})")
            config.attributes["connection"] = connection
            act(config, revision)
    except CommandError:
        found = current_revision(database)
        raise StoreError(
            f"{_shown(database)} was written by a newer qbench (schema {found}).",
            hint="Upgrade with `pip install -U qbench`, or name another file with --database.",
        ) from None
