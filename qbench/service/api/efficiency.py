"""What a run would take on a dedicated machine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, PricesDep, Reader, StoreDep
from qbench.service.reports.efficiency.profiles import Nominal
from qbench.service.reports.efficiency.report import Wanted, efficiency_of
from qbench.service.reports.efficiency.values import Efficiency
from qbench.service.reports.efficiency.weighing import DEFAULT_WEIGHTS

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])

Named = Annotated[
    str,
    Query(max_length=300, description="Cost every system with this profile of the server's."),
]
Weights = Annotated[str, Query(max_length=200, description="Axis to weight: `accuracy=3,cost=2`.")]
Watts = Annotated[float | None, Query(ge=0, description="Power of one device.")]


@router.get(
    "/efficiency",
    responses=says(Efficiency, 404),
    response_class=Response,
    summary="Idealized seconds, dollars and a score with weights",
)
def efficiency(
    run: str,
    store: StoreDep,
    prices: PricesDep,
    _: Reader,
    basis: Basis = "saturated",
    profile: Named = "",
    cached: Annotated[bool, Query(description="Leave out cached prompt tokens.")] = False,
    weights: Weights = DEFAULT_WEIGHTS,
    watts: Watts = None,
) -> Response:
    """Cost the recorded token counts with profiles, without running anything."""
    wanted = Wanted(
        basis=basis,
        profile=profile,
        cached=cached,
        weights=weights,
        nominal=Nominal(watts=watts),
    )
    return answer(efficiency_of(store, run, prices, wanted))
