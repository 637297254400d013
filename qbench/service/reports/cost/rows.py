"""One system's part in what right answers cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from qbench.benchmarks.analysis.economics.costofpass import per_problem
from qbench.benchmarks.analysis.economics.minima import cheapest, gains, shares
from qbench.benchmarks.analysis.economics.retries import tries
from qbench.benchmarks.analysis.sums import Floats
from qbench.service.reports.cost.grid import FRONTIER, Draws, Grid, Key
from qbench.service.reports.cost.values import CostOfPass, Retries
from qbench.service.reports.values import Row


def numbers(grid: Grid, attempts: int) -> Iterator[tuple[Key, Floats]]:
    """Yield (S,) rows for every system: alone, without it, where it is cheapest, retried."""
    wins, every = cheapest(grid.v, grid.expert), {system.id for system in grid.systems}
    for place, system in enumerate(grid.systems):
        yield ("alone", system.id), grid.minimum({system.id})
        yield ("without", system.id), grid.minimum(every - {system.id})
        yield ("cheapest", system.id), wins[place]
    if attempts:
        success, number = tries(grid.passed, grid.n, attempts)
        spent = number * grid.costs
        for place, system in enumerate(grid.systems):
            yield ("success", system.id), success[place]
            yield ("spent", system.id), spent[place]
            if np.isfinite(grid.expert):
                left = (1 - success[place]) * grid.expert
                yield ("fallback", system.id), spent[place] + left


def plain_row(row: Row, left_out: str) -> CostOfPass:
    """Make the row of a system as a leaderboard knows it, without a part in the frontier."""
    return CostOfPass(
        system_id=row.system_id,
        label=row.label,
        pass_rate=row.pass_rate,
        cost=row.cost,
        ratio_of_means=row.cost_of_pass,
        per_problem=row.cost_of_pass_per_problem,
        solved_share=row.solved_share,
        invalid=row.validity.invalid,
        left_out=left_out,
    )


def compared_row(row: Row, grid: Grid, draws: Draws, attempts: int) -> CostOfPass:
    """Make the row of a system that is compared with the others."""
    one = row.system_id
    with_it, without = FRONTIER, ("without", one)
    bounded = np.isfinite(draws.mean(without))
    costed = np.isfinite(draws.mean(with_it))
    return replace(
        plain_row(row, ""),
        per_problem_mean=draws.value(("alone", one)),
        gain=draws.combined(gains, without, with_it) if costed else None,
        essentialness=draws.combined(shares, without, with_it) if bounded else None,
        cheapest_share=draws.plain(("cheapest", one)),
        retries=_retries(one, grid, draws, attempts) if attempts else None,
    )


def _retries(one: str, grid: Grid, draws: Draws, attempts: int) -> Retries:
    success, spent = ("success", one), ("spent", one)
    bounded = np.isfinite(grid.expert)
    return Retries(
        attempts=attempts,
        success=draws.plain(success),
        cost=draws.plain(spent),
        cost_of_pass=draws.combined(_ratio, spent, success),
        with_expert=draws.plain(("fallback", one)) if bounded else None,
        extrapolated=bool((grid.n < attempts).any()),
    )


def _ratio(spent: Floats | float, success: Floats | float) -> Floats:
    return per_problem(np.asarray(spent), np.asarray(success))
