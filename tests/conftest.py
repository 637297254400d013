"""Databases for tests: a SQLite file, and a PostgreSQL schema of the test's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

POSTGRES = os.environ.get(
    "QBENCH_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test"
)
"""An administrator's URL: each test makes a database beside the one it names."""

MakeUrl = Callable[[], str]


def _admin(statement: str) -> None:
    server = create_engine(
        POSTGRES, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3}
    )
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        server.dispose()


@pytest.fixture(scope="session")
def postgres_refusal() -> str:
    """Return why PostgreSQL cannot be used; empty when it can."""
    try:
        _admin("SELECT 1")
    except (DBAPIError, ModuleNotFoundError) as error:
        return f"{POSTGRES} does not answer: {error}"
    return ""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_refusal: str) -> Iterator[str]:
    """Yield the URL of an empty database of the test's own, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'qbench.db'}"
        return
    if postgres_refusal:
        pytest.skip(postgres_refusal)
    name = f"qbench_test_{secrets.token_hex(6)}"
    _admin(f"CREATE DATABASE {name}")
    try:
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        _admin(f"DROP DATABASE {name} WITH (FORCE)")
