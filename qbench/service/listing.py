"""Runs and attempts as facts for lists: what the terminal shows and REST answers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from qbench.benchmarks.transcript import Transcript
from qbench.service.desk import Desk
from qbench.service.domain import Controls, Run, RunStatus, System
from qbench.service.queue import Waiting, WorkerView
from qbench.service.reports.values import SCHEMA
from qbench.service.store import AttemptView, RunSummary, Store
from qbench.service.store.ledger import PAID


class RunFacts(Struct, frozen=True, kw_only=True):
    """A run in a list."""

    id: str
    status: str
    suite: str
    systems: tuple[str, ...]
    planned: int
    done: int
    passed: int
    errored: int
    dollars: dict[str, str]
    """By basis, exact; a basis without a priced line is absent."""
    paid: str | None
    """Known dollars really paid; None when nothing was priced."""
    unpriced: int
    """Ledger lines to be paid whose dollars are unknown: ``paid`` leaves them out."""
    created_at: datetime
    priority: int = 0
    account_id: str | None = None
    schedule_id: str | None = None


class SystemTally(Struct, frozen=True, kw_only=True):
    """Attempts of one system so far."""

    label: str
    format: str
    total: int
    done: int
    """Scored or unscored."""
    passed: int
    errored: int
    replica: int = 0
    """1 for the baseline measured once more."""
    way: str = ""
    """The strategy as it is written; empty for ``single``."""


class RunProgress(Struct, frozen=True, kw_only=True):
    """How far a run is."""

    run: RunFacts
    tallies: dict[str, SystemTally]
    """By system id."""
    paid: str | None
    controls: Controls
    at_rest: bool
    """Nobody works on it and it waits for nobody."""
    waiting: Waiting | None = None
    """Why it does not run yet; None when it does not wait."""
    engines: dict[str, str] = {}
    """State and reason of each engine, by the labels of its systems."""
    schema: int = SCHEMA


class SubmittedRun(Struct, frozen=True, kw_only=True):
    """A run that was handed in."""

    run: RunFacts
    created: bool
    """False: it was there already."""
    schema: int = SCHEMA


class RunPage(Struct, frozen=True, kw_only=True):
    """Runs, newest first."""

    runs: tuple[RunFacts, ...]
    next: str | None
    """Cursor of the next page; null on the last."""
    schema: int = SCHEMA


class Rescored(Struct, frozen=True, kw_only=True):
    """Transcripts that were judged again."""

    run: str
    attempts: int
    schema: int = SCHEMA


class AttemptPage(Struct, frozen=True, kw_only=True):
    """Current attempts of a run in the order they were made."""

    run: str
    attempts: tuple[AttemptView, ...]
    next: str | None
    schema: int = SCHEMA


class AttemptDetail(Struct, frozen=True, kw_only=True):
    """An attempt with what was said and done."""

    attempt: AttemptView
    transcript: Transcript
    schema: int = SCHEMA


class Workers(Struct, frozen=True, kw_only=True):
    """Who works, and what waits."""

    workers: tuple[WorkerView, ...]
    waiting: dict[str, int]
    """Runs (``plan``), engines and shards that wait."""
    devices: dict[str, str]
    """In use, and what for."""
    schema: int = SCHEMA


def workers_of(store: Store) -> Workers:
    """Read who works, what waits, and what is used."""
    return Workers(workers=store.workers(), waiting=store.ready(), devices=store.devices())


def run_facts(one: RunSummary) -> RunFacts:
    """Make the facts of a run."""
    request, counts = one.run.request, one.counts
    known = [one.dollars[basis] for basis in PAID if basis in one.dollars]
    return RunFacts(
        id=one.run.id,
        status=one.run.status.value,
        suite=request.suite,
        systems=tuple(system.label for system in request.systems),
        planned=one.planned,
        done=counts.get("scored", 0) + counts.get("unscored", 0),
        passed=counts.get("passed", 0),
        errored=counts.get("errored", 0),
        dollars={basis: str(amount) for basis, amount in one.dollars.items()},
        paid=str(sum(known, Decimal(0))) if known else None,
        unpriced=one.unpriced,
        created_at=one.run.created_at,
        priority=one.run.priority,
        account_id=one.run.account_id,
        schedule_id=one.run.schedule_id,
    )


def facts_of(store: Store, run: Run) -> RunFacts:
    """Read a run's facts."""
    return run_facts(store.summary(run))


def progress_of(store: Store, desk: Desk | None, run: Run) -> RunProgress:
    """Read how far a run is; without a desk it waits for nobody."""
    planned, counts = store.planned(run.id), store.counts(run.id)
    facts = facts_of(store, run)
    return RunProgress(
        run=facts,
        tallies={
            system.id: _tally(system, planned.get(system.id, 0), counts.get(system.id, {}))
            for system in run.request.systems
        },
        paid=facts.paid,
        controls=run.controls,
        at_rest=_rests(store, run),
        waiting=desk.waiting(run.id) if desk and run.queued_at else None,
        engines=_engines(store, run),
    )


def _rests(store: Store, run: Run) -> bool:
    if run.queued_at is not None:
        return False
    return run.status is not RunStatus.RUNNING or store.holder(run.id) is None


def _tally(system: System, planned: int, counts: dict[str, int]) -> SystemTally:
    return SystemTally(
        label=system.label,
        format=system.format,
        total=planned,
        done=counts.get("scored", 0) + counts.get("unscored", 0),
        passed=counts.get("passed", 0),
        errored=counts.get("errored", 0),
        replica=system.replica,
        way=system.way,
    )


def _engines(store: Store, run: Run) -> dict[str, str]:
    """The newest hosting of each engine tells where it stands."""
    labels: dict[str, list[str]] = {}
    for system in run.request.systems:
        labels.setdefault(system.engine_key, []).append(system.label)
    told = {}
    for hosting in store.hostings(run.id):
        name = ", ".join(labels.get(hosting.engine_key, ["the run"]))
        told[name] = ": ".join(filter(None, (hosting.state.value, hosting.reason)))
    return told
