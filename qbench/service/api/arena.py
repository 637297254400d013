"""What a judge made of the answers of a run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Reader, StoreDep
from qbench.service.reports.arena.report import arena_of
from qbench.service.reports.arena.values import Arena

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])


@router.get(
    "/arena",
    responses=says(Arena, 404),
    response_class=Response,
    summary="Answers ranked against each other",
)
def arena(
    run: str,
    store: StoreDep,
    _: Reader,
    tournament: Annotated[
        str, Query(max_length=32, description="Beginning of its id; none: the newest.")
    ] = "",
) -> Response:
    """Tell the standings of a stored tournament; `qbench arena` judges where the database is."""
    return answer(arena_of(store, run, tournament))
