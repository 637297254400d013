"""What a right answer costs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, PricesDep, Reader, StoreDep
from qbench.service.reports.cost.options import MOST_RETRIES, CostOptions
from qbench.service.reports.cost.report import costs_of_pass
from qbench.service.reports.cost.values import CostsOfPass

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])


def _options(
    expert: Annotated[str, Query(description="Dollars of an expert's answer.")] = "",
    retries: Annotated[int, Query(ge=0, le=MOST_RETRIES, description="Most attempts.")] = 0,
    family: Annotated[
        list[str] | None, Query(description="NAME=pattern of MODEL@FORMAT; may be repeated.")
    ] = None,
    released: Annotated[
        list[str] | None, Query(description="MODEL=YYYY-MM-DD; may be repeated.")
    ] = None,
) -> CostOptions:
    return CostOptions.read(
        expert=expert, retries=retries, families=family or (), released=released or ()
    )


@router.get(
    "/cost-of-pass",
    responses=says(CostsOfPass, 404),
    response_class=Response,
    summary="Dollars per right answer",
)
def cost_of_pass(
    run: str,
    store: StoreDep,
    prices: PricesDep,
    _: Reader,
    options: Annotated[CostOptions, Depends(_options)],
    basis: Basis = "saturated",
) -> Response:
    """Say what a right answer costs, by both definitions, and what the frontier costs."""
    return answer(costs_of_pass(store, run, basis, options, prices))
