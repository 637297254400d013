"""Where results are read: this machine's database, or a server. The same values either way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import typer
from msgspec import Struct

from qbench.cli.remote import RemoteSource, connected
from qbench.errors import ConfigError
from qbench.service.comparison import comparison, find_system, frontier_of
from qbench.service.domain import Basis
from qbench.service.leaderboard import leaderboard_of
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
from qbench.service.recovery import recovery_of
from qbench.service.report import Comparison, Frontier, Leaderboard
from qbench.service.report_formats import FormatComparison
from qbench.service.report_noise import RunNoise
from qbench.service.rescoring import rescore
from qbench.service.run_noise import noise_of
from qbench.service.store import Store

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

    def comparison(self, ref: str, first: str, second: str) -> Comparison:
        """Compare two systems of a run. Raises NotFound."""
        ...

    def recovery(self, ref: str, basis: Basis) -> FormatComparison:
        """Compare every model's baseline with each of its formats. Raises NotFound."""
        ...

    def noise(self, refs: Sequence[str]) -> RunNoise:
        """Measure how far runs of the same systems are apart. Raises NotFound, ConfigError."""
        ...

    def frontier(self, ref: str, basis: Basis) -> Frontier:
        """Tell who is undominated. Raises NotFound."""
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

    def comparison(self, ref: str, first: str, second: str) -> Comparison:
        """Compare two systems of a run."""
        return comparison(self._store, ref, first, second)

    def recovery(self, ref: str, basis: Basis) -> FormatComparison:
        """Compare every model's baseline with each of its formats."""
        return recovery_of(self._store, ref, basis)

    def noise(self, refs: Sequence[str]) -> RunNoise:
        """Measure how far runs of the same systems are apart."""
        return noise_of(self._store, refs)

    def frontier(self, ref: str, basis: Basis) -> Frontier:
        """Tell who is undominated."""
        return frontier_of(self._store, ref, basis)

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
