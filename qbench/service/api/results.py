"""What a run found: the same values as the terminal's tables."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from msgspec import Struct

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Reader, StoreDep
from qbench.service.comparison import comparison, frontier_of
from qbench.service.leaderboard import leaderboard_of
from qbench.service.recovery import recovery_of
from qbench.service.report import SCHEMA, Comparison, Estimate, Frontier, Leaderboard
from qbench.service.report_formats import FormatComparison

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])

Basis = Annotated[
    Literal["saturated", "dedicated"],
    Query(description="Of local systems: busy seconds, or the engine's whole life."),
]
System = Annotated[str, Query(description="A format, or MODEL@FORMAT.")]


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


@router.get(
    "/leaderboard", responses=says(Leaderboard, 404), response_class=Response, summary="Ranking"
)
def leaderboard(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Rank the systems of a run, with intervals, verdicts and what stands behind them."""
    return answer(leaderboard_of(store, run, basis, components=True))


@router.get(
    "/compare", responses=says(Comparison, 404), response_class=Response, summary="Two systems"
)
def compare(run: str, first: System, second: System, store: StoreDep, _: Reader) -> Response:
    """Compare two systems on the samples both were scored on, part by part."""
    return answer(comparison(store, run, first, second))


@router.get(
    "/recovery",
    responses=says(FormatComparison, 404),
    response_class=Response,
    summary="What each format keeps",
)
def recovery(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Compare every model's baseline with each of its formats, beside the noise floor."""
    return answer(recovery_of(store, run, basis))


@router.get(
    "/frontier",
    responses=says(Frontier, 404),
    response_class=Response,
    summary="Who is undominated",
)
def frontier(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Say who is undominated in accuracy and cost, and how surely."""
    return answer(frontier_of(store, run, basis))


@router.get(
    "/cost-of-pass",
    responses=says(CostsOfPass, 404),
    response_class=Response,
    summary="Dollars per right answer",
)
def cost_of_pass(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Say what a right answer costs, by both definitions."""
    board = leaderboard_of(store, run, basis)
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
    return answer(CostsOfPass(run_id=board.run_id, basis=basis, rows=tuple(rows)))
