"""Strategies of a run side by side."""

from __future__ import annotations

from fastapi import APIRouter, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.strategies.report import strategies_of
from qbench.service.reports.strategies.values import StrategyReport

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])


@router.get(
    "/strategies",
    responses=says(StrategyReport, 404),
    response_class=Response,
    summary="What each strategy reaches, takes and costs",
)
def strategies(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Compare the strategies of each model and format, suite by suite and overall."""
    return answer(strategies_of(store, run, basis))
