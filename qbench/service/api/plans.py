"""A run that is only thought of: how large, how powerful, how dear."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from msgspec.structs import replace

from qbench.service.api.answers import answer, body_of, says, takes
from qbench.service.api.deps import PricesDep, Reader, StoreDep
from qbench.service.handed_in import admitted
from qbench.service.pricebook import PriceBook
from qbench.service.reports.prospect.report import Prospect, prospect_of
from qbench.service.reports.prospect.values import Planned
from qbench.service.store import Store

router = APIRouter(prefix="/v1/plan", tags=["runs"])

EXAMPLE = {"order": {"suite": "mcp", "formats": ["fp8", "w4a16"], "samples": 160}, "mde": 0.03}


@router.post(
    "",
    responses=says(Planned, 400, 404, 413),
    openapi_extra=takes(Prospect, example=EXAMPLE),
    response_class=Response,
    summary="What a run would do",
)
async def plan(request: Request, store: StoreDep, prices: PricesDep, _: Reader) -> Response:
    """Say what a run would do, detect and probably find, without making it."""
    wanted = await body_of(request, Prospect)
    return answer(await run_in_threadpool(_planned, store, wanted, prices))


def _planned(store: Store, wanted: Prospect, prices: PriceBook) -> Planned:
    return prospect_of(store, replace(wanted, order=admitted(wanted.order)), book=prices)
