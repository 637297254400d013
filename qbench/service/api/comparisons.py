"""Two systems, or all formats, on the same samples."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.benchmarks.analysis.comparison.multiplicity import Correction
from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.comparison.pairs import pairs_of
from qbench.service.reports.comparison.report import comparison
from qbench.service.reports.comparison.values import Comparison, Pairs
from qbench.service.reports.prospect.design import settling
from qbench.service.reports.prospect.values import Settling
from qbench.service.reports.recovery.report import recovery_of
from qbench.service.reports.recovery.values import FormatComparison

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])

System = Annotated[str, Query(description="A format, or MODEL@FORMAT.")]
NonInferior = Annotated[
    bool, Query(description="Ask only whether the first is not worse by the margin.")
]
Corrected = Annotated[
    Correction, Query(description="holm: no false finding at all; bh: few of the findings false.")
]


@router.get(
    "/compare", responses=says(Comparison, 404), response_class=Response, summary="Two systems"
)
def compare(
    run: str,
    first: System,
    second: System,
    store: StoreDep,
    _: Reader,
    non_inferior: NonInferior = False,
) -> Response:
    """Compare two systems on the samples both were scored on, by every method and by part."""
    return answer(comparison(store, run, first, second, non_inferior=non_inferior))


@router.get(
    "/pairs", responses=says(Pairs, 404), response_class=Response, summary="All pairs of systems"
)
def pairs(
    run: str,
    store: StoreDep,
    _: Reader,
    correction: Corrected = "holm",
    non_inferior: NonInferior = False,
) -> Response:
    """Judge all pairs of systems, p corrected over all of them."""
    return answer(pairs_of(store, run, correction, non_inferior=non_inferior))


@router.get(
    "/settle",
    responses=says(Settling, 404),
    response_class=Response,
    summary="What would settle it",
)
def settle(run: str, store: StoreDep, _: Reader) -> Response:
    """List the inconclusive systems with the samples that would settle each."""
    return answer(settling(store, run))


@router.get(
    "/recovery",
    responses=says(FormatComparison, 404),
    response_class=Response,
    summary="What each format keeps",
)
def recovery(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Compare every model's baseline with each of its formats, beside the noise floor."""
    return answer(recovery_of(store, run, basis))
