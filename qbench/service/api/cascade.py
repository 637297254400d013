"""A cascade between two systems of a run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.cascade.report import cascade_of
from qbench.service.reports.cascade.values import CascadeReport

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])

Name = Annotated[str, Query(max_length=400, description="As in `compare`.")]


@router.get(
    "/cascade",
    responses=says(CascadeReport, 404, 422),
    response_class=Response,
    summary="A cheap system first, a dear one where it seems unsure",
)
def cascade(
    run: str,
    store: StoreDep,
    _: Reader,
    first: Name,
    then: Name,
    signal: Annotated[str, Query(max_length=20, description="votes or unread")] = "votes",
    basis: Basis = "saturated",
) -> Response:
    """Tell accuracy and cost over thresholds, and one chosen held out against always-dear."""
    return answer(cascade_of(store, run, first, then, signal=signal, basis=basis))
