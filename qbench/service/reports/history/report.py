"""What a schedule, or everything that ever asked the same, found over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from qbench.benchmarks.analysis.runs.drift import DriftReport, State
from qbench.errors import NotFound
from qbench.service.domain import Basis, Run
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import SCHEMA, Estimate, Row, VerdictKind
from qbench.service.schedules import Firing, Schedule, Snapshot
from qbench.service.store import Store
from qbench.service.store.runs import ENDED

MOST = 30
"""Newest runs of a history: each is a leaderboard."""


class Mark(Struct, frozen=True, kw_only=True):
    """A system in one run."""

    at: datetime
    """When the run was due, or made."""
    run_id: str
    request_id: str
    """Equal ids asked the very same; drift is judged among those only."""
    pass_rate: Estimate | None
    cost: Estimate | None
    """Mean dollars per attempt."""
    cost_of_pass: Estimate | None
    verdict: VerdictKind
    on_frontier: float | None
    drift: State | None
    """Of this system in this run; None where drift was not looked for."""


class Track(Struct, frozen=True, kw_only=True):
    """A system over time, oldest first."""

    system_id: str
    label: str
    marks: tuple[Mark, ...]


class Priced(Struct, frozen=True, kw_only=True):
    """A run at the prices of one day, as a snapshot keeps it."""

    snapshot: str
    run_id: str
    as_of: datetime
    basis: Basis
    paid: float | None
    cost_of_pass: dict[str, Any]
    """Label to an estimate; null where unpriced."""


class History(Struct, frozen=True, kw_only=True):
    """Runs over time."""

    name: str
    """Of the schedule; else the run that was asked about."""
    basis: Basis
    tracks: tuple[Track, ...]
    firings: tuple[Firing, ...]
    """Of the schedule, oldest first, with what was found."""
    snapshots: tuple[Priced, ...]
    schema: int = SCHEMA


def history_of(
    store: Store,
    *,
    schedule: str = "",
    run: str = "",
    limit: int = MOST,
    basis: Basis | None = None,
) -> History:
    """Tell the history of a schedule, or of all runs that asked the same as ``run``.

    Args:
        store: where they are.
        schedule: name or id of a schedule.
        run: a run's id, the beginning of it, or ``last``; looked at when no schedule is named.
        limit: newest runs.
        basis: of local systems; None: the schedule's own, else saturated.

    Raises:
        NotFound: no such schedule or run.

    """
    if schedule:
        return _of_schedule(store, store.schedule(schedule), limit, basis)
    if not run:
        raise NotFound("Nothing was named.", hint="Name a schedule or a run.")
    one = store.run(run)
    found = store.ended_runs(request_id=one.request.id, limit=limit)
    chosen = basis or "saturated"
    return History(
        name=one.id,
        basis=chosen,
        tracks=_tracks(store, found, chosen, {}),
        firings=(),
        snapshots=_priced(store.snapshots([r.id for r in found])),
    )


def _of_schedule(store: Store, schedule: Schedule, limit: int, basis: Basis | None) -> History:
    firings, chosen = store.firings(schedule.id), basis or schedule.what.basis
    by_run = {firing.run_id: firing for firing in firings if firing.run_id}
    known = store.runs_by_id(by_run.keys())
    ended = [known[key] for key in by_run if key in known and known[key].status in ENDED]
    snapshots = store.snapshots([run.id for run in ended])
    if schedule.what.act == "reprice":
        made = {key for firing in firings for key in firing.found.snapshots}
        kept = store.snapshots({key[16:] for key in made})
        snapshots = tuple(one for one in kept if one.id in made)
    return History(
        name=schedule.name,
        basis=chosen,
        tracks=_tracks(store, ended[-limit:], chosen, by_run),
        firings=firings,
        snapshots=_priced(snapshots),
    )


def _tracks(
    store: Store, runs: Sequence[Run], basis: Basis, firings: dict[str, Firing]
) -> tuple[Track, ...]:
    marks: dict[str, list[Mark]] = {}
    labels: dict[str, str] = {}
    for run in runs:
        for row in leaderboard_of(store, run.id, basis).rows:
            labels[row.system_id] = row.label
            mark = _mark(run, row, firings.get(run.id))
            marks.setdefault(row.system_id, []).append(mark)
    return tuple(
        Track(system_id=key, label=labels[key], marks=tuple(found)) for key, found in marks.items()
    )


def _mark(run: Run, row: Row, firing: Firing | None) -> Mark:
    report = firing.found.report if firing else None
    return Mark(
        at=firing.due_at if firing else run.created_at,
        run_id=run.id,
        request_id=run.request.id,
        pass_rate=row.pass_rate,
        cost=row.cost,
        cost_of_pass=row.cost_of_pass,
        verdict=row.verdict.kind,
        on_frontier=row.on_frontier,
        drift=_drift(report, row.system_id) if report else None,
    )


def _drift(report: DriftReport, system_id: str) -> State:
    """Return what a run's report says of one system."""
    if report.state in ("insufficient history", "steady"):
        return report.state
    mine = [shift for shift in report.raised if shift.system_id == system_id]
    if not mine:
        return "steady"
    if report.state == "confirmed" and not any(shift.confirmed for shift in mine):
        return "not confirmed"
    return report.state


def _priced(snapshots: Sequence[Snapshot]) -> tuple[Priced, ...]:
    return tuple(
        Priced(
            snapshot=one.id,
            run_id=one.run_id,
            as_of=one.as_of,
            basis=one.basis,
            paid=one.leaderboard.get("paid"),
            cost_of_pass={
                row["label"]: row["cost_of_pass"] for row in one.leaderboard.get("rows", [])
            },
        )
        for one in snapshots
    )
