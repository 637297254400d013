"""Databases for tests: a SQLite file, and a PostgreSQL schema of the test's own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

from qbench.workers.engines.process import free_port

if not Path("/dev/nvidiactl").exists():  # read when Triton programs are defined: before any is
    os.environ.setdefault("TRITON_INTERPRET", "1")

POSTGRES = os.environ.get(
    "QBENCH_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test"
)
"""An administrator's URL: each test makes a database beside the one it names."""

MakeUrl = Callable[[], str]


def administer(statement: str) -> None:
    """Run a statement as the server's administrator."""
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
        administer("SELECT 1")
    except (DBAPIError, ModuleNotFoundError) as error:
        return f"{POSTGRES} does not answer: {error}"
    return ""


@pytest.fixture
def postgres(postgres_refusal: str) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database of the test's own."""
    if postgres_refusal:
        pytest.skip(postgres_refusal)
    with _database_of_its_own() as url:
        yield url


@pytest.fixture
def broker() -> Iterator[str]:
    """Yield the URL of a Redis server of the test's own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    arguments = [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as server:
        url = f"redis://127.0.0.1:{port}/0"
        _await_redis(url)
        yield url
        server.terminate()


def _await_redis(url: str) -> None:
    client = redis.Redis.from_url(url)
    for _ in range(100):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            client.close()
            return
    raise RuntimeError(f"{url} does not answer")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_refusal: str) -> Iterator[str]:
    """Yield the URL of an empty database of the test's own, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'qbench.db'}"
        return
    if postgres_refusal:
        pytest.skip(postgres_refusal)
    with _database_of_its_own() as made:
        yield made


@contextmanager
def _database_of_its_own() -> Iterator[str]:
    name = f"qbench_test_{secrets.token_hex(6)}"
    administer(f"CREATE DATABASE {name}")
    try:
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        administer(f"DROP DATABASE {name} WITH (FORCE)")
