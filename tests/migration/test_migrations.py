from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from qbench.errors import ConfigError, StoreError
from qbench.service import database as db
from qbench.service.store import Store


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    opened = db.connect(url)
    yield opened
    opened.dispose()


def _tables(database: Engine) -> set[str]:
    return set(inspect(database).get_table_names())


def test_up_down_and_up_again(database: Engine) -> None:
    db.upgrade(database)
    first = _tables(database)
    assert db.current_revision(database) == db.head_revision()
    db.downgrade(database, "base")
    assert _tables(database) == {"alembic_version"}
    db.upgrade(database)
    assert _tables(database) == first


def test_the_schema_is_the_one_that_the_code_declares(database: Engine) -> None:
    db.upgrade(database)
    assert db.drift(database) == []


def test_drift_is_seen(database: Engine) -> None:
    db.upgrade(database)
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE run ADD COLUMN extra INTEGER"))
    assert db.drift(database)


def test_upgrading_twice_changes_nothing(database: Engine) -> None:
    db.upgrade(database)
    db.upgrade(database)
    assert db.drift(database) == []


def test_two_programs_may_upgrade_at_once(url: str) -> None:
    def upgrade(_: int) -> None:
        Store.open(url).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, range(4)))


def test_a_service_refuses_an_older_schema_and_makes_an_empty_one(
    database: Engine, url: str
) -> None:
    Store.open_current(url).close()
    assert db.current_revision(database) == db.head_revision()
    db.downgrade(database, "q001")
    with pytest.raises(StoreError, match=r"is q001; this version needs q005") as raised:
        Store.open_current(url)
    assert "qbench db upgrade" in raised.value.hint
    assert db.current_revision(database) == "q001"
    Store.open(url).close()
    Store.open_current(url).close()


def test_a_newer_schema_is_refused_untouched(database: Engine, url: str) -> None:
    db.upgrade(database)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'q999'"))
    with pytest.raises(StoreError, match=r"newer qbench \(schema q999\)") as raised:
        Store.open(url)
    assert "pip install -U qbench" in raised.value.hint
    assert db.current_revision(database) == "q999"


def test_another_programs_database_is_refused_untouched(database: Engine, url: str) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE recipe (id INTEGER PRIMARY KEY)"))
    with pytest.raises(StoreError, match=r"belongs to another program \(tables recipe\)"):
        Store.open(url)
    assert _tables(database) == {"recipe"}


def test_another_programs_alembic_is_not_taken_for_a_newer_qbench(
    database: Engine, url: str
) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('abc123')"))
        connection.execute(text("CREATE TABLE recipe (id INTEGER PRIMARY KEY)"))
    with pytest.raises(StoreError, match="belongs to another program"):
        Store.open(url)


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("Dear diary, " * 500)
    with pytest.raises(StoreError, match="is not a qbench database"):
        Store.open(str(file))
    assert file.read_text() == "Dear diary, " * 500


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "qbench.db"
    Store.open(str(file)).close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\x5a" * (len(content) - 4096))
    with pytest.raises(StoreError, match="is damaged") as raised, Store.open(str(file)) as store:
        store.runs()
    assert "backup" in raised.value.hint


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("nonsense://x", ConfigError, "Cannot read the database URL"),
        ("postgresql://postgres@127.0.0.1:1/none", StoreError, "does not answer"),
        ("/proc/nowhere/qbench.db", StoreError, "Cannot make the folder"),
    ],
)
def test_a_database_that_cannot_be_reached_says_why(
    url: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Store.open(url)
