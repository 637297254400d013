"""From stored runs to drift: which runs are comparable, and their results side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import SCORED, Outcomes
from qbench.benchmarks.analysis.runs.drift import DriftReport, Series, Watch, confirmed, drift
from qbench.benchmarks.analysis.sums import Floats, dollars
from qbench.benchmarks.analysis.validity import MOST_EXCLUDED
from qbench.service.domain import Basis, Run
from qbench.service.schedules import Firing, Schedule
from qbench.service.store import Store
from qbench.service.store.runs import ENDED


def missing(store: Store, run: Run) -> str:
    """Say why a run that ended cannot be compared; empty when it can."""
    for system in run.request.systems:
        mine = [cell for cell in store.cells(run.id) if cell.system_id == system.id]
        planned, scored = sum(c.planned for c in mine), sum(c.scored for c in mine)
        if planned - scored > MOST_EXCLUDED * planned or not scored:
            left = planned - scored
            return f"{left} of {planned} attempts of {system.label} are missing from the score"
    return ""


def window_of(store: Store, schedule: Schedule, firing: Firing, run: Run) -> tuple[Run, ...]:
    """Return the runs that a firing's run is compared with, oldest first.

    Those of the schedule's earlier firings that asked the very same and were scored nearly whole.
    A confirmed change begins a new window, with the two runs that showed it: what it became is
    what the next runs are held against.
    """
    ids: list[str] = []
    for earlier in store.firings(schedule.id, ["done"]):
        if (earlier.due_at, earlier.id) >= (firing.due_at, firing.id) or not earlier.run_id:
            continue
        report = earlier.found.report
        if report is not None and report.state == "confirmed":
            ids = [earlier.run_id, *filter(None, [earlier.confirm_run_id])]
        else:
            ids.append(earlier.run_id)
    found = store.runs_by_id(ids)
    same = [found[key] for key in ids if key in found and _alike(found[key], run)]
    newest = [one for one in reversed(same) if not missing(store, one)]
    return tuple(reversed(newest[: schedule.what.watch.window]))


def _alike(one: Run, other: Run) -> bool:
    return one.status in ENDED and one.request.id == other.request.id


def drift_of(
    store: Store, window: Sequence[Run], newest: Run, watch: Watch, basis: Basis
) -> DriftReport:
    """Compare a run with its window."""
    ids = [run.id for run in window]
    if len(ids) < watch.window_least:
        return drift([], ids, watch)
    return drift(_series(store, window, newest, basis), ids, watch, seed=newest.request.seed)


def confirmation_of(
    store: Store, report: DriftReport, confirming: Run, basis: Basis
) -> DriftReport:
    """Judge what a run raised by a confirming one, against the same window."""
    found = store.runs_by_id(report.runs)
    window = [found[key] for key in report.runs if key in found]
    cells = _series(store, window, confirming, basis)
    return confirmed(report, cells, seed=confirming.request.seed)


@dataclass(frozen=True, kw_only=True)
class _Results:
    """One run's results by system and sample; arrays are (Y, S)."""

    systems: dict[str, int]
    samples: dict[str, int]
    tries: NDArray[np.int64]
    passes: NDArray[np.int64]
    cost: Floats
    tokens: Floats


def _series(store: Store, window: Sequence[Run], newest: Run, basis: Basis) -> list[Series]:
    """Put the runs side by side, a series for each system and task of the newest."""
    outcomes = store.outcomes(newest.id)
    last = _results(outcomes, basis)
    runs = [*(_results(store.outcomes(run.id), basis) for run in window), last]
    labels = {system.id: system.label for system in newest.request.systems}
    made = []
    for system_id in outcomes.systems:
        for number, task in enumerate(outcomes.tasks):
            places = np.flatnonzero(outcomes.sample_task == number)
            names = [outcomes.samples[place] for place in places]
            parts = [_rows(run, system_id, names) for run in runs]
            made.append(
                Series(
                    system_id=system_id,
                    label=labels.get(system_id, system_id),
                    task=task,
                    tries=np.stack([part[0] for part in parts]).astype(np.int64),
                    passes=np.stack([part[1] for part in parts]).astype(np.int64),
                    cost=np.stack([part[2] for part in parts]),
                    tokens=np.stack([part[3] for part in parts]),
                    family=outcomes.sample_family[places],
                )
            )
    return made


def _results(outcomes: Outcomes, basis: Basis) -> _Results:
    scored = outcomes.status == SCORED
    shape = len(outcomes.systems), len(outcomes.samples)
    place = (outcomes.system.astype(np.int64) * shape[1] + outcomes.sample)[scored]

    def total(values: NDArray[np.generic]) -> Floats:
        kept = values[scored].astype(np.float64)
        return np.bincount(place, kept, shape[0] * shape[1]).reshape(shape).astype(np.float64)

    tries = total(np.ones(len(scored)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return _Results(
            systems=_numbered(outcomes.systems),
            samples=_numbered(outcomes.samples),
            tries=tries.astype(np.int64),
            passes=total(outcomes.passed).astype(np.int64),
            cost=total(dollars(outcomes, basis)) / tries,
            tokens=total(outcomes.completion_tokens) / tries,
        )


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _rows(
    run: _Results, system_id: str, names: Sequence[str]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (S,) tries, passes, cost and tokens of one system on the samples ``names``."""
    number = len(names)
    rows = (np.zeros(number), np.zeros(number), np.full(number, np.nan), np.full(number, np.nan))
    if system_id not in run.systems:
        return rows
    here = [(place, run.samples[name]) for place, name in enumerate(names) if name in run.samples]
    if here:
        to, source = np.array(here, dtype=np.intp).T
        mine = run.systems[system_id]
        for row, values in zip(rows, (run.tries, run.passes, run.cost, run.tokens), strict=True):
            row[to] = values[mine, source]
    return rows
