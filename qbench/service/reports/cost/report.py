"""What a right answer costs: system by system, and with all of them at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.economics.minima import (
    drawn_means,
    shares,
    value_interval,
)
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.domain import Basis
from qbench.service.pricebook import PriceBook, read_prices
from qbench.service.reports.cost.families import Group, groups, techniques
from qbench.service.reports.cost.grid import FRONTIER, Draws, Grid, Key
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.cost.releases import ReleaseDates, fitted, stepped
from qbench.service.reports.cost.rows import compared_row, numbers, plain_row
from qbench.service.reports.cost.values import (
    CostOfPass,
    CostsOfPass,
    FamilyShare,
    FrontierValue,
    Technique,
)
from qbench.service.reports.cost.words import finding, notes
from qbench.service.reports.evidence import Evidence, estimate
from qbench.service.reports.leaderboard import ranked
from qbench.service.reports.values import Estimate, Row
from qbench.service.store import Store

PLAIN: Key = ("strategy", "")
"""The systems of the baseline's strategy."""
SOLVED: Key = ("solved", "")
SOLVED_COST: Key = ("solved cost", "")
HELD_OUT: Key = ("held out", "")


def costs_of_pass(
    store: Store,
    run_ref: str,
    basis: Basis = "saturated",
    options: CostOptions | None = None,
    book: PriceBook | None = None,
) -> CostsOfPass:
    """Say what a right answer costs, by both definitions, and what the frontier costs.

    Args:
        store: where the run is.
        run_ref: its id, the beginning of it, or ``last``.
        basis: of local systems.
        options: what the user says beyond the run.
        book: what experts cost and when models were released; None: the shipped and user's one.

    Raises:
        NotFound: no such run, or a given family has no system.
        ConfigError: a price file cannot be read.

    """
    evidence = Evidence.of(store, run_ref, basis)
    return costs_of(evidence, options or CostOptions(), book or read_prices())


def costs_of(evidence: Evidence, options: CostOptions, book: PriceBook) -> CostsOfPass:
    """Say what a right answer costs in a run that was read."""
    board, request = ranked(evidence, None), evidence.run.request
    reasons = {row.system_id: _why_not(row) for row in board.rows}
    kept = tuple(system for system in request.systems if not reasons[system.id])
    found = CostsOfPass(
        run_id=evidence.run.id,
        basis=evidence.basis,
        rows=tuple(plain_row(row, reasons[row.system_id]) for row in board.rows),
        expert=options.expert_of(request.suite, book),
    )
    unknown: tuple[str, ...] = ()
    if kept:
        grid = Grid.of(evidence, kept, float(found.expert.dollars) if found.expert else math.inf)
        if grid.problems:
            dates = ReleaseDates.of(kept, options, book)
            unknown = dates.unknown
            found = _Costing.of(grid, dates, options, evidence).told(found, board.rows)
    found = replace(found, rows=tuple(sorted(found.rows, key=_rank)))
    found = replace(found, notes=notes(evidence, found, kept, unknown=unknown))
    return replace(found, finding=finding(found))


def _why_not(row: Row) -> str:
    if row.replica:
        return "the noise floor: the baseline measured once more"
    return row.validity.invalid or ("" if row.cost else "unpriced")


def _rank(row: CostOfPass) -> tuple[bool, float]:
    return bool(row.left_out), row.ratio_of_means.value if row.ratio_of_means else math.inf


@dataclass(frozen=True)
class _Costing:
    """The compared systems with everything resampled at once."""

    grid: Grid
    draws: Draws
    dates: ReleaseDates
    groups: tuple[Group, ...]
    techniques: tuple[Group, ...]
    attempts: int
    seed: int

    @classmethod
    def of(
        cls, grid: Grid, dates: ReleaseDates, options: CostOptions, evidence: Evidence
    ) -> _Costing:
        request = evidence.run.request
        baseline = next(s for s in request.systems if s.id == request.baseline)
        made = groups(grid.systems, options.families)
        added = techniques(grid.systems, baseline.strategy)
        rows = dict(
            (
                *_together(grid),
                *numbers(grid, options.retries),
                *_without(grid, made),
                *_with_techniques(grid, added),
                *dates.rows(grid),
            )
        )
        draws = Draws(rows, grid, request.seed)
        return cls(grid, draws, dates, made, added, options.retries, request.seed)

    def told(self, found: CostsOfPass, rows: tuple[Row, ...]) -> CostsOfPass:
        """Add the compared systems' rows, the frontier and what follows from it."""
        compared = {
            row.system_id: compared_row(row, self.grid, self.draws, self.attempts)
            for row in rows
            if any(system.id == row.system_id for system in self.grid.systems)
        }
        decay, why = fitted(self.dates, self.draws)
        return replace(
            found,
            rows=tuple(compared.get(row.system_id, row) for row in found.rows),
            frontier=self._frontier(),
            families=tuple(self._family(group) for group in self.groups),
            techniques=tuple(self._technique(group) for group in self.techniques),
            releases=stepped(self.dates, self.draws),
            decay=decay,
            no_decay=why,
        )

    def _frontier(self) -> FrontierValue:
        grid, draws = self.grid, self.draws
        solved = np.isfinite(grid.v).any(axis=0)
        lowest = grid.v.min(axis=0)
        return FrontierValue(
            value=draws.value(FRONTIER),
            problems=grid.problems,
            families=grid.families,
            attempts=float(grid.n.mean()),
            at_expert=int((lowest >= grid.expert).sum()),
            unsolved=int((~solved).sum()),
            solved_only=draws.combined(_ratio, SOLVED_COST, SOLVED) if solved.any() else None,
            held_out=self._held_out(),
        )

    def _held_out(self) -> Estimate | None:
        if HELD_OUT in self.draws:
            return self.draws.value(HELD_OUT)
        values = self.grid.held_out
        known = np.zeros(0, dtype=bool) if values is None else ~np.isnan(values)
        if values is None or not known.any():
            return None
        family = self.grid.family[known]
        made = drawn_means(values[None, known], family, seed=self.seed)
        value, bounds = float(made.means[0]), self.grid.bounds
        there = float((values[known] >= bounds.expert).mean())
        return estimate(
            value,
            value_interval(value, made.interval(0), made.families, at_expert=there, bounds=bounds),
        )

    def _family(self, group: Group) -> FamilyShare:
        key = ("family", f"{group.kind} {group.name}")
        bounded = np.isfinite(self.draws.mean(key))
        return FamilyShare(
            kind=group.kind,
            name=group.name,
            systems=group.labels,
            without=self.draws.value(key),
            essentialness=self.draws.combined(shares, key, FRONTIER) if bounded else None,
        )

    def _technique(self, group: Group) -> Technique:
        key = ("strategy", group.name)
        bounded = np.isfinite(self.draws.mean(PLAIN))
        return Technique(
            name=group.name,
            systems=group.labels,
            benefit=self.draws.combined(shares, PLAIN, key) if bounded else None,
        )


Rows = Iterator[tuple[Key, Floats]]


def _together(grid: Grid) -> Rows:
    lowest = grid.v.min(axis=0)
    solved = np.isfinite(lowest)
    yield FRONTIER, np.minimum(lowest, grid.expert)
    yield SOLVED, solved.astype(np.float64)
    yield SOLVED_COST, np.where(solved, lowest, 0.0)
    if grid.held_out is not None and not np.isnan(grid.held_out).any():
        yield HELD_OUT, grid.held_out


def _without(grid: Grid, made: tuple[Group, ...]) -> Rows:
    every = {system.id for system in grid.systems}
    for group in made:
        yield ("family", f"{group.kind} {group.name}"), grid.minimum(every - group.ids)


def _with_techniques(grid: Grid, added: tuple[Group, ...]) -> Rows:
    plain = {system.id for system in grid.systems} - {one for group in added for one in group.ids}
    if added:
        yield PLAIN, grid.minimum(plain)
    for group in added:
        yield ("strategy", group.name), grid.minimum(plain | group.ids)


def _ratio(cost: Floats | float, share: Floats | float) -> Floats:
    return per_problem(np.asarray(cost), np.asarray(share))
