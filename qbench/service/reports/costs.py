"""What a right answer costs, system by system."""

from __future__ import annotations

from msgspec import Struct

from qbench.service.domain import Basis
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import SCHEMA, Estimate
from qbench.service.store import Store


class CostOfPass(Struct, frozen=True, kw_only=True):
    """What one system pays for a right answer."""

    system_id: str
    label: str
    pass_rate: Estimate | None
    cost: Estimate | None
    """Mean dollars per attempt; null when unpriced."""
    ratio_of_means: Estimate | None
    """Dollars per attempt / pass rate."""
    per_problem: float | None
    """Median over samples of cost / pass rate."""
    solved_share: float | None
    invalid: str
    """Why the row is not ranked; empty when it is."""


class CostsOfPass(Struct, frozen=True, kw_only=True):
    """Every system of a run, cheapest right answer first, unpriced ones last."""

    run_id: str
    basis: str
    rows: tuple[CostOfPass, ...]
    schema: int = SCHEMA


def costs_of_pass(store: Store, run_ref: str, basis: Basis) -> CostsOfPass:
    """Say what a right answer costs, by both definitions. Raises NotFound."""
    board = leaderboard_of(store, run_ref, basis)
    rows = [
        CostOfPass(
            system_id=row.system_id,
            label=row.label,
            pass_rate=row.pass_rate,
            cost=row.cost,
            ratio_of_means=row.cost_of_pass,
            per_problem=row.cost_of_pass_per_problem,
            solved_share=row.solved_share,
            invalid=row.validity.invalid,
        )
        for row in board.rows
    ]
    rows.sort(key=lambda r: r.ratio_of_means.value if r.ratio_of_means else float("inf"))
    return CostsOfPass(run_id=board.run_id, basis=basis, rows=tuple(rows))
