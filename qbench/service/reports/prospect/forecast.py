"""What a run will probably find and cost, told by the runs before it. Never a measured row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from qbench.benchmarks.analysis.clusters import Mean, clustered_mean
from qbench.benchmarks.analysis.forecast.effects import Cells, Effects, fitted
from qbench.benchmarks.analysis.forecast.scores import (
    COST_SCALE,
    LEVEL,
    HeldOut,
    costs,
    effective_trials,
    fitted_rates,
    held_out_scores,
    interval,
    log_costs,
    scores,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.benchmarks.catalogue import most_paths
from qbench.benchmarks.suite import Sample
from qbench.service.domain import Basis, Request, Run, System
from qbench.service.reports.evidence import Evidence
from qbench.service.reports.values import SCHEMA
from qbench.service.store import Store

MOST_CELLS = 250
"""Newest cells that are looked at: the work grows with their cube."""
MOST_RUNS = 40
LEAST_CELLS = 4
"""Below, nothing is forecast."""
CHECKED_RUNS = 3
"""Runs from which forecasts are tried on held-out ones."""


class Range(Struct, frozen=True, kw_only=True):
    """A forecast with its 80 % interval."""

    value: float
    """Half of the outcomes are expected below."""
    low: float
    high: float


class Predicted(Struct, frozen=True, kw_only=True):
    """What one system will probably do."""

    system_id: str
    label: str
    pass_rate: Range
    """As the run will measure it."""
    cost: Range | None
    """Mean dollars per attempt, at the prices that those runs had; None: no past cost."""
    dollars: Range | None
    """For all of its attempts."""
    seen: str
    """``this system``, ``this model``, or ``other models only``: what the past knows."""


class Forecast(Struct, frozen=True, kw_only=True):
    """Before a run: predicted scores and costs, from past runs of related systems and tasks."""

    rows: tuple[Predicted, ...]
    """Empty where too little is known."""
    runs: int
    """Past runs it is made from."""
    cells: int
    """Their means of one system at one task and level."""
    level: float
    """Of every interval here."""
    held_out: tuple[int, int] | None
    """Pass rates of past runs inside the interval that the other runs gave, and their number."""
    error: float | None
    """Mean absolute error of those forecasts, in pass-rate units."""
    finding: str
    schema: int = SCHEMA


class PastCell(Struct, frozen=True, kw_only=True):
    """A mean that was measured: one system at one task and level of one run."""

    run: str
    suite: str
    system: System
    place: str
    """Engine and machine."""
    task: str
    level: int
    rate: Mean
    cost: Mean


def forecast_of(
    store: Store, request: Request, samples: Sequence[Sample], places: Mapping[str, str]
) -> Forecast:
    """Forecast a run that was not made.

    Args:
        store: where past runs are.
        request: what is going to be run.
        samples: of the request.
        places: system id to the machine that is going to serve it; empty where unknown.

    """
    past = past_cells(store)
    if len(past) < LEAST_CELLS:
        return Forecast(
            rows=(),
            runs=len({cell.run for cell in past}),
            cells=len(past),
            level=LEVEL,
            held_out=None,
            error=None,
            finding="No forecast: too few past runs in this database.",
        )
    return _forecast(past, request, samples, places)


def past_cells(store: Store, basis: Basis = "saturated") -> list[PastCell]:
    """Read the newest ended runs, as many as fit into ``MOST_CELLS``."""
    found: list[PastCell] = []
    for run in reversed(store.ended_runs(limit=MOST_RUNS)):
        new = list(_cells(Evidence.of(store, run.id, basis)))
        if found and len(found) + len(new) > MOST_CELLS:
            break
        found += new[:MOST_CELLS]
    return found


def _cells(evidence: Evidence) -> Iterator[PastCell]:
    out, run = evidence.outcomes, evidence.run
    parts = [
        (name, int(level), (out.sample_task == at) & (out.sample_level == level))
        for at, name in enumerate(out.tasks)
        for level in np.unique(out.sample_level[out.sample_task == at])
    ]
    for system in run.request.systems:
        place = evidence.place(system.id)
        if place is None or evidence.invalid(system.id):
            continue
        for task, level, chosen in parts:
            cell = _cell(evidence, run, system, (task, level), chosen)
            if cell.rate.n:
                yield cell


def _cell(
    evidence: Evidence,
    run: Run,
    system: System,
    part: tuple[str, int],
    chosen: NDArray[np.bool_],
) -> PastCell:
    at, endpoint = evidence.place(system.id), evidence.endpoint(system)
    assert at is not None
    sums = evidence.sums
    suite, task = own_names(run.request.suite, part[0])
    return PastCell(
        run=run.id,
        suite=suite,
        system=replace(system, replica=0),
        place=f"{system.engine} {endpoint.hardware if endpoint else ''}",
        task=task,
        level=part[1],
        rate=clustered_mean(sums.rates[at][chosen], sums.family[chosen]),
        cost=clustered_mean(sums.costs[at][chosen], sums.family[chosen]),
    )


def own_names(suite: str, task: str) -> tuple[str, str]:
    """Return the names of suite and task, also where the run asks several suites."""
    if "," not in suite:
        return suite, task
    suite, _, task = task.partition("/")
    return suite, task


def _forecast(
    past: Sequence[PastCell],
    request: Request,
    samples: Sequence[Sample],
    places: Mapping[str, str],
) -> Forecast:
    planned = Counter((*own_names(request.suite, sample.task), sample.level) for sample in samples)
    wanted = [
        PastCell(
            run="",
            suite=suite,
            system=system,
            place=f"{system.engine} {places.get(system.id, '')}",
            task=task,
            level=level,
            rate=UNKNOWN,
            cost=UNKNOWN,
        )
        for system in request.systems
        if not system.replica
        for suite, task, level in sorted(planned)
    ]
    weights = np.array([planned[one.suite, one.task, one.level] for one in wanted], float)
    rates, checked = _rates(past, wanted, weights)
    paid = _costs(past, wanted)
    rows = _rows(request, wanted, weights, rates, paid, _known(past))
    return Forecast(
        rows=rows,
        runs=len({cell.run for cell in past}),
        cells=len(past),
        level=LEVEL,
        held_out=(checked.covered, checked.total) if checked else None,
        error=checked.error if checked else None,
        finding=_finding(rows, checked),
    )


UNKNOWN = Mean(value=np.nan, error=np.nan, n=0, clusters=0)


def _rates(
    past: Sequence[PastCell], wanted: Sequence[PastCell], weights: Floats
) -> tuple[Floats, HeldOut | None]:
    """Return (B, M) draws of pass rates, and how such forecasts fared on held-out runs."""
    rate = np.array([cell.rate.value for cell in past])
    number = np.array([cell.rate.n for cell in past], dtype=np.float64)
    error = np.nan_to_num(np.array([cell.rate.error for cell in past]))
    trials = effective_trials(rate, error, number)
    cells, target = _coded(past, wanted, _score_groups)
    share = float(np.median(trials / number))
    drawn = scores(fitted_rates(cells, rate, trials), target, np.maximum(1.0, weights * share))
    runs, systems = (
        _codes(keys) for keys in zip(*((c.run, c.system.id) for c in past), strict=True)
    )
    if len(set(runs)) < CHECKED_RUNS:
        return drawn, None
    return drawn, held_out_scores(cells, rate, trials, runs, systems)


def _costs(past: Sequence[PastCell], wanted: Sequence[PastCell]) -> Floats | None:
    """Return (B, M) draws of dollars per attempt; None where no past cell has a price.

    Learnt for one path of calls: a strategy that asks along five costs about five times as much,
    and what it costs beside that is an effect of its own.
    """
    priced = [cell for cell in past if cell.cost.value > 0]
    if len(priced) < LEAST_CELLS:
        return None
    cells, target = _coded(priced, wanted, _cost_groups)
    paths = _paths(priced)
    cost = np.array([cell.cost.value for cell in priced]) / paths
    error = np.nan_to_num(np.array([cell.cost.error for cell in priced])) / paths
    effects: Effects = fitted(log_costs(cells, cost, error), scale=COST_SCALE)
    return costs(effects, target) * _paths(wanted)


def _paths(cells: Sequence[PastCell]) -> Floats:
    """Return (N,) paths along which an attempt asks at most."""
    return np.array([most_paths(cell.system.strategy) for cell in cells], dtype=np.float64)


def _score_groups(cell: PastCell) -> tuple[object, ...]:
    """Say which components a pass rate has, from the widest to the narrowest."""
    one, task = cell.system, (cell.suite, cell.task)
    return (
        cell.suite,
        one.model,
        one.format,
        (one.model, one.format),
        one.way,
        one.id,
        task,
        (task, cell.level),
        (one.model, task),
        (one.id, task, cell.level),
        (cell.run, one.id),
    )


def _cost_groups(cell: PastCell) -> tuple[object, ...]:
    """Say which components a cost has: the engine and the machine count, too."""
    one, task = cell.system, (cell.suite, cell.task)
    return (
        cell.place,
        one.model,
        (cell.place, one.model),
        (cell.place, one.format),
        one.way,
        (cell.place, one.id),
        task,
        (task, cell.level),
        (one.model, task),
        (cell.run, one.id),
    )


def _coded(
    past: Sequence[PastCell], wanted: Sequence[PastCell], groups: object
) -> tuple[Cells, Cells]:
    """Number the groups of past and wanted cells alike."""
    assert callable(groups)
    every = [groups(cell) for cell in (*past, *wanted)]
    codes = np.stack([_codes(keys) for keys in zip(*every, strict=True)])
    level = np.array([cell.level for cell in (*past, *wanted)], dtype=np.float64)
    both = Cells(groups=codes, level=level - level.mean())
    old = np.arange(len(every)) < len(past)
    return both.only(old), both.only(~old)


def _codes(keys: Sequence[object]) -> NDArray[np.int64]:
    known: dict[object, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def _known(past: Sequence[PastCell]) -> tuple[set[str], set[str]]:
    return {cell.system.id for cell in past}, {cell.system.model for cell in past}


def _rows(
    request: Request,
    wanted: Sequence[PastCell],
    weights: Floats,
    rates: Floats,
    paid: Floats | None,
    known: tuple[set[str], set[str]],
) -> tuple[Predicted, ...]:
    made = []
    for system in request.systems:
        mine = np.array([cell.system.id == system.id for cell in wanted])
        if not mine.any():
            continue
        share = weights[mine] / weights[mine].sum()
        attempts = float(weights[mine].sum()) * request.epochs
        cost = None if paid is None else paid[:, mine] @ share
        made.append(
            Predicted(
                system_id=system.id,
                label=system.label,
                pass_rate=_range(rates[:, mine] @ share),
                cost=None if cost is None else _range(cost),
                dollars=None if cost is None else _range(cost * attempts),
                seen=_seen(system, known),
            )
        )
    return tuple(made)


def _seen(system: System, known: tuple[set[str], set[str]]) -> str:
    if system.id in known[0]:
        return "this system"
    return "this model" if system.model in known[1] else "other models only"


def _range(draws: Floats) -> Range:
    found = interval(draws)
    return Range(value=found.middle, low=found.low, high=found.high)


def _finding(rows: Sequence[Predicted], checked: HeldOut | None) -> str:
    best = max(rows, key=lambda row: row.pass_rate.value)
    rate = best.pass_rate
    said = (
        f"Expected, not measured: {best.label} best at {100 * rate.value:.1f} % "
        f"[{100 * rate.low:.1f}, {100 * rate.high:.1f}] (80 %)"
    )
    if checked is None:
        return f"{said}; too few past runs to try such forecasts on held-out ones."
    return (
        f"{said}; of {checked.total} past pass rates {checked.covered} were inside the interval "
        f"that the other runs gave (mean error {100 * checked.error:.1f} points)."
    )
