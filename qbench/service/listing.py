"""Runs and attempts as facts for lists: what the terminal shows and REST answers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from qbench.service.desk import Desk
from qbench.service.domain import Run
from qbench.service.queue import Waiting
from qbench.service.report import SCHEMA
from qbench.service.store import RunSummary, Store


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
    total: int
    done: int
    """Scored or unscored."""
    passed: int
    errored: int


class RunProgress(Struct, frozen=True, kw_only=True):
    """How far a run is."""

    run: RunFacts
    tallies: dict[str, SystemTally]
    """By system id."""
    paid: str | None
    waiting: Waiting | None = None
    """Why it does not run yet; None when it does not wait."""
    engines: dict[str, str] = {}
    """State and reason of each engine, by the labels of its systems."""
    schema: int = SCHEMA


def run_facts(one: RunSummary, unpriced: int) -> RunFacts:
    """Make the facts of a run."""
    request, counts = one.run.request, one.counts
    known = [one.dollars[basis] for basis in ("api", "dedicated") if basis in one.dollars]
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
        unpriced=unpriced,
        created_at=one.run.created_at,
        priority=one.run.priority,
        account_id=one.run.account_id,
        schedule_id=one.run.schedule_id,
    )


def facts_of(store: Store, run: Run) -> RunFacts:
    """Read a run's facts."""
    return run_facts(store.summary(run), store.unpriced(run.id))


def progress_of(store: Store, desk: Desk | None, run: Run) -> RunProgress:
    """Read how far a run is; without a desk it waits for nobody."""
    planned, counts = store.planned(run.id), store.counts(run.id)
    facts = facts_of(store, run)
    return RunProgress(
        run=facts,
        tallies={
            system.id: _tally(system.label, planned.get(system.id, 0), counts.get(system.id, {}))
            for system in run.request.systems
        },
        paid=facts.paid,
        waiting=desk.waiting(run.id) if desk and run.queued_at else None,
        engines=_engines(store, run),
    )


def _tally(label: str, planned: int, counts: dict[str, int]) -> SystemTally:
    return SystemTally(
        label=label,
        total=planned,
        done=counts.get("scored", 0) + counts.get("unscored", 0),
        passed=counts.get("passed", 0),
        errored=counts.get("errored", 0),
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
