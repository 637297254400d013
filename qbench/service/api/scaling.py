"""What more attempts buy."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.scaling.report import scaling_of
from qbench.service.reports.scaling.values import CostUnit, Scaling, ScalingAsked

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])

MOST = 50
"""Values of one list."""

Chance = Annotated[float | None, Query(ge=0, le=1)]
Amount = Annotated[float, Query(ge=0, le=1e12)]


@router.get(
    "/scaling",
    responses=says(Scaling, 404),
    response_class=Response,
    summary="What more attempts buy",
)
def scaling(
    run: str,
    store: StoreDep,
    _: Reader,
    k: Annotated[
        list[Annotated[int, Query(ge=1, le=1_000_000)]] | None,
        Query(max_length=MOST, description="Numbers of attempts; none: 1, 2, 4, 8 …"),
    ] = None,
    soundness: Chance = None,
    completeness: Chance = None,
    false_positive_cost: Amount = 0.0,
    attempt_cost: Amount = 0.0,
    weak_test: Annotated[
        str, Query(max_length=100, description="Score component that accepts where it is 1.")
    ] = "",
    budget: Annotated[
        list[Annotated[float, Query(gt=0, le=1e12)]] | None,
        Query(max_length=MOST, description="Per sample, in the unit of cost."),
    ] = None,
    cost: Annotated[CostUnit, Query(description="Dollars, or TeFLOPs as in Kinetics.")] = "dollars",
    gpu: Annotated[str, Query(max_length=40, description="For kinetics.")] = "b200",
    at_once: Annotated[bool, Query(description="Pay for all k attempts.")] = False,
    least_gain: Annotated[float, Query(gt=0, lt=1)] = 0.005,
    basis: Basis = "saturated",
) -> Response:
    """Tell coverage over k, its fit, a verifier's ceiling, and the best plan for each budget."""
    asked = ScalingAsked(
        ks=tuple(k or ()),
        soundness=soundness,
        completeness=completeness,
        false_positive_cost=false_positive_cost,
        attempt_cost=attempt_cost,
        weak_test=weak_test,
        budgets=tuple(budget or ()),
        cost=cost,
        gpu=gpu,
        at_once=at_once,
        least_gain=least_gain,
    )
    return answer(scaling_of(store, run, asked, basis))
