"""Where results are read: this machine's database, or a server. The same values either way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Protocol, TypeVar

import typer
from msgspec import Struct

from qbench.cli.question import Question
from qbench.cli.remote import RemoteSource, connected
from qbench.errors import ConfigError
from qbench.service.domain import Basis
from qbench.service.listing import (
    AttemptDetail,
    AttemptPage,
    RunFacts,
    RunProgress,
    Workers,
    progress_of,
    run_facts,
    workers_of,
)
from qbench.service.reports.comparison.report import find_system
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import Leaderboard
from qbench.service.rescoring import rescore
from qbench.service.store import Store

T = TypeVar("T")

Server = Annotated[
    str, typer.Option("--server", help="URL of a qbench server; its key: QBENCH_API_KEY.")
]


class Which(Struct, frozen=True, kw_only=True):
    """Which attempts to list."""

    system: str = ""
    status: str = ""
    passed: bool | None = None
    limit: int = 40


class Source(Protocol):
    """What the reading verbs ask; ``ref`` is a run's id, its beginning, or ``last``."""

    def runs(self, limit: int) -> tuple[RunFacts, ...]:
        """List the newest runs."""
        ...

    def progress(self, ref: str) -> RunProgress:
        """Tell how far a run is. Raises NotFound."""
        ...

    def leaderboard(self, ref: str, basis: Basis, *, components: bool) -> Leaderboard:
        """Rank a run's systems. Raises NotFound."""
        ...

    def ask(self, question: Question[T]) -> T:
        """Answer a question about runs. Raises NotFound, ConfigError."""
        ...

    def attempts(self, ref: str, which: Which) -> AttemptPage:
        """List attempts of a run. Raises NotFound."""
        ...

    def attempt(self, ref: str) -> AttemptDetail:
        """Return an attempt and what was said. Raises NotFound."""
        ...

    def export(self, ref: str) -> Iterator[dict[str, Any]]:
        """Yield every attempt of a run, superseded ones too."""
        ...

    def score(self, ref: str) -> int:
        """Judge a run's transcripts again; return how many."""
        ...

    def workers(self) -> Workers:
        """Tell who works, what waits, and what is used."""
        ...


class LocalSource:
    """Reads a database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def runs(self, limit: int) -> tuple[RunFacts, ...]:
        """List the newest runs."""
        return tuple(run_facts(one) for one in self._store.runs(limit))

    def progress(self, ref: str) -> RunProgress:
        """Tell how far a run is."""
        return progress_of(self._store, None, self._store.run(ref))

    def leaderboard(self, ref: str, basis: Basis, *, components: bool) -> Leaderboard:
        """Rank a run's systems."""
        return leaderboard_of(self._store, ref, basis, components=components)

    def ask(self, question: Question[T]) -> T:
        """Answer a question about runs."""
        return question.answer(self._store)

    def attempts(self, ref: str, which: Which) -> AttemptPage:
        """List attempts of a run."""
        run = self._store.run(ref)
        chosen = find_system(run.request.systems, which.system).id if which.system else ""
        found = self._store.attempts(
            run.id,
            system_id=chosen,
            status=which.status,
            passed=which.passed,
            limit=which.limit,
        )
        return AttemptPage(run=run.id, attempts=found, next=None)

    def attempt(self, ref: str) -> AttemptDetail:
        """Return an attempt and what was said."""
        view = self._store.attempt(ref)
        return AttemptDetail(attempt=view, transcript=self._store.transcript(view.id))

    def export(self, ref: str) -> Iterator[dict[str, Any]]:
        """Yield every attempt of a run."""
        return self._store.export(self._store.run(ref).id)

    def score(self, ref: str) -> int:
        """Judge a run's transcripts again."""
        return rescore(self._store, self._store.run(ref))

    def workers(self) -> Workers:
        """Tell who works, what waits, and what is used."""
        return workers_of(self._store)


def place_of(server: str, database: str) -> str:
    """Return the server's URL, ``QBENCH_SERVER`` by default; empty where a database is named.

    Raises:
        ConfigError: the command line names both.

    """
    if server and database:
        raise ConfigError(
            "A server and a database were named.", hint="Give --server or --database, not both."
        )
    return server or ("" if database else os.environ.get("QBENCH_SERVER", ""))


@contextmanager
def open_source(server: str, database: str) -> Iterator[Source]:
    """Open a server where one is named, else the database. Raises ConfigError for both."""
    place = place_of(server, database)
    if place:
        with connected(place) as http:
            yield RemoteSource(http)
    else:
        with Store.open(database) as store:
            yield LocalSource(store)
