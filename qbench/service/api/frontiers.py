"""Who is worth considering."""

from __future__ import annotations

from fastapi import APIRouter, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.frontier import frontier_of
from qbench.service.reports.values import Frontier

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])


@router.get(
    "/frontier",
    responses=says(Frontier, 404),
    response_class=Response,
    summary="Who is undominated",
)
def frontier(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Say who is undominated in accuracy and cost, and how surely."""
    return answer(frontier_of(store, run, basis))
