"""Who is worth considering."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.frontier.choice import GROUPINGS, Asked, read_choice
from qbench.service.reports.frontier.objectives import OBJECTIVES
from qbench.service.reports.frontier.report import frontier_of
from qbench.service.reports.frontier.values import Frontier

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])

On = Annotated[str, Query(description=f"Two or three of: {', '.join(OBJECTIVES)}.")]
By = Annotated[str, Query(description=f"Frontiers of their own by {', '.join(GROUPINGS)}.")]
Without = Annotated[str, Query(description="Shell pattern of systems to take away.")]
Budget = Annotated[str, Query(description="Of the second objective: `$0.001`.")]
Accuracy = Annotated[str, Query(description="To be reached: `60%` or `0.6`.")]
Reference = Annotated[str, Query(description="Of the hypervolume: `cost=0.01,accuracy=20%`.")]
NativeOnly = Annotated[bool, Query(description="Leave emulations and fallbacks out.")]

Also = Annotated[list[str] | None, Query(description="Further runs on the same samples.")]


@router.get(
    "/frontier",
    responses=says(Frontier, 404),
    response_class=Response,
    summary="Who is undominated",
)
def frontier(
    run: str,
    store: StoreDep,
    _: Reader,
    basis: Basis = "saturated",
    on: On = "accuracy,cost",
    by: By = "",
    without: Without = "",
    budget: Budget = "",
    accuracy: Accuracy = "",
    reference: Reference = "",
    native_only: NativeOnly = False,
    also: Also = None,
) -> Response:
    """Say who is undominated in some objectives, and how surely."""
    asked = Asked(
        on=on,
        by=by,
        without=without,
        budget=budget,
        accuracy=accuracy,
        reference=reference,
        native_only=native_only,
        also=tuple(also or ()),
    )
    return answer(frontier_of(store, run, basis, read_choice(asked)))
