"""What a right answer costs."""

from __future__ import annotations

from fastapi import APIRouter, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.costs import CostsOfPass, costs_of_pass

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])


@router.get(
    "/cost-of-pass",
    responses=says(CostsOfPass, 404),
    response_class=Response,
    summary="Dollars per right answer",
)
def cost_of_pass(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Say what a right answer costs, by both definitions."""
    return answer(costs_of_pass(store, run, basis))
