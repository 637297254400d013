"""What a run found: the same values as the terminal's tables."""

from __future__ import annotations

from fastapi import APIRouter, Response

from qbench.service.api.answers import answer, says
from qbench.service.api.deps import Basis, Reader, StoreDep
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import Leaderboard

router = APIRouter(prefix="/v1/runs/{run}", tags=["results"])


@router.get(
    "/leaderboard", responses=says(Leaderboard, 404), response_class=Response, summary="Ranking"
)
def leaderboard(run: str, store: StoreDep, _: Reader, basis: Basis = "saturated") -> Response:
    """Rank the systems of a run, with intervals, verdicts and what stands behind them."""
    return answer(leaderboard_of(store, run, basis, components=True))
