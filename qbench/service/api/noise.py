"""The same systems measured again: how far they are from themselves, by part and sample."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Reader, StoreDep
from qbench.service.reports.noise.items import items_of
from qbench.service.reports.noise.repeats import MOST
from qbench.service.reports.noise.report import noise_of
from qbench.service.reports.noise.signal import signal_noise
from qbench.service.reports.noise.values import ItemReport, PartKind, RunNoise, SignalNoise

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


@router.get(
    "/noise/parts",
    responses=says(SignalNoise, 404),
    response_class=Response,
    summary="Signal-to-noise ratio by part",
)
def parts(
    run: Runs,
    store: StoreDep,
    _: Reader,
    by: PartKind = "task",
    least_snr: Annotated[float, Query(ge=0, le=1e9, description="Leave out parts below.")] = 0.0,
) -> Response:
    """Say which tasks, levels or families tell the systems apart, and which drown in noise."""
    return answer(signal_noise(store, run, by, least_snr))


@router.get(
    "/noise/items",
    responses=says(ItemReport, 404),
    response_class=Response,
    summary="Statistics of samples",
)
def items(run: Runs, store: StoreDep, _: Reader) -> Response:
    """Describe every sample: difficulty, discrimination, flips."""
    return answer(items_of(store, run))
