"""Two systems, or all formats, on the same samples."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.comparison import comparison
from qbench.service.reports.recovery import recovery_of
from qbench.service.reports.recovery_values import FormatComparison
from qbench.service.reports.values import Comparison

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])

System = Annotated[str, Query(description="A format, or MODEL@FORMAT.")]


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
