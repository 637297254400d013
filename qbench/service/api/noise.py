"""Several runs of the same systems: how far they are apart."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Reader, StoreDep
from qbench.service.reports.noise import MOST, noise_of
from qbench.service.reports.noise_values import RunNoise

router = APIRouter(prefix="/v1", tags=["results"])

Runs = Annotated[
    list[str],
    Query(
        min_length=1,
        max_length=MOST,
        description="Runs of the same systems; one alone: all ended runs of its request.",
    ),
]


@router.get(
    "/noise", responses=says(RunNoise, 404), response_class=Response, summary="Run-to-run spread"
)
def noise(run: Runs, store: StoreDep, _: Reader) -> Response:
    """Measure how far runs of the same systems are apart, and over what differed."""
    return answer(noise_of(store, run))
