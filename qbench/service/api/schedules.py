"""Schedules, history, and prices of other days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from qbench.service import timetable
from qbench.service.api.answers import answer, body_of, problems_of, says, takes
from qbench.service.api.deps import DeskDep, PricesDep, Reader, Runner, StoreDep
from qbench.service.keys import audited
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.history.frontier import Ask, frontier_history
from qbench.service.reports.history.report import MOST, History, history_of
from qbench.service.reports.history.values import FrontierHistory
from qbench.service.repricing import Repriced, keep, reprice
from qbench.service.schedules import Recurring, Schedule
from qbench.service.scheduling import fire
from qbench.service.timetable import Fired, ScheduleDetail, Timetable

router = APIRouter(prefix="/v1", tags=["schedules"])

EXAMPLE = {
    "name": "nightly",
    "cron": "0 3 * * *",
    "timezone": "Europe/Berlin",
    "order": {"suite": "mcp", "formats": ["fp8", "w4a16"], "samples": 160},
    "watch": {"window": 8, "points": 0.02},
    "delivery": {"webhook": "https://example.org/hook", "secret_env": "QBENCH_WEBHOOK_SECRET"},
}
Basis = Annotated[
    Literal["saturated", "dedicated", "energy"],
    Query(
        description="Of local systems: busy seconds, the engine's whole life, or its electricity."
    ),
]


@router.get(
    "/schedules", responses=says(Timetable), response_class=Response, summary="List schedules"
)
def list_schedules(store: StoreDep, _: Reader) -> Response:
    """List the schedules by name, with when each is due next."""
    return answer(Timetable(schedules=store.schedules()))


@router.post(
    "/schedules",
    responses=says(Schedule, 400, 404, 413, about="Made.", status=201),
    openapi_extra=takes(Recurring, example=EXAMPLE),
    response_class=Response,
    status_code=201,
    summary="Make a schedule",
)
async def add_schedule(request: Request, store: StoreDep, caller: Runner) -> Response:
    """Make what recurs: a run, always afresh, or a re-pricing of runs that ended."""
    wanted = await body_of(request, Recurring)
    now = datetime.now(UTC)
    made = await run_in_threadpool(timetable.add, store, wanted, caller, now)
    await run_in_threadpool(audited, store, caller, "schedule.add", made.name)
    return answer(made, 201, {"Location": f"/v1/schedules/{made.name}"})


@router.get(
    "/schedules/{name}",
    responses=says(ScheduleDetail, 404),
    response_class=Response,
    summary="A schedule",
)
def show_schedule(name: str, store: StoreDep, _: Reader) -> Response:
    """Show a schedule, its newest firings and the alerts they raised."""
    return answer(timetable.detail_of(store, name))


@router.delete(
    "/schedules/{name}",
    responses=problems_of(404),
    response_class=Response,
    status_code=204,
    summary="Remove a schedule",
)
def remove_schedule(name: str, store: StoreDep, caller: Runner) -> Response:
    """Take a schedule away; its runs and its history stay."""
    audited(store, caller, "schedule.remove", name)
    timetable.remove(store, name, datetime.now(UTC))
    return Response(status_code=204)


@router.post(
    "/schedules/{name}/pause",
    responses=says(Schedule, 404),
    response_class=Response,
    summary="Pause a schedule",
)
def pause_schedule(name: str, store: StoreDep, caller: Runner) -> Response:
    """Let it not come due; a run under way goes on."""
    audited(store, caller, "schedule.pause", name)
    return answer(timetable.pause(store, name))


@router.post(
    "/schedules/{name}/resume",
    responses=says(Schedule, 404),
    response_class=Response,
    summary="Resume a schedule",
)
def resume_schedule(name: str, store: StoreDep, caller: Runner) -> Response:
    """Let it come due again; what was missed stays missed."""
    audited(store, caller, "schedule.resume", name)
    return answer(timetable.resume(store, name, datetime.now(UTC)))


@router.post(
    "/schedules/{name}/run-now",
    responses=says(Fired, 404, about="Fired.", status=202),
    response_class=Response,
    status_code=202,
    summary="Fire a schedule",
)
def run_schedule_now(
    name: str, store: StoreDep, desk: DeskDep, prices: PricesDep, caller: Runner
) -> Response:
    """Fire beside its own times; skipped while an earlier firing is under way."""
    audited(store, caller, "schedule.run-now", name)
    now = datetime.now(UTC)
    fired = timetable.run_now(store, name, now)
    if store.schedule(name).what.act == "run":  # a re-pricing takes longer than a request may
        fire(store, desk, prices, fired.firing, now)
    return answer(Fired(firing=store.firing(fired.firing.id)), 202)


@router.get(
    "/history", responses=says(History, 404), response_class=Response, summary="Runs over time"
)
def history(
    store: StoreDep,
    _: Reader,
    schedule: Annotated[str, Query(description="Name of a schedule.")] = "",
    run: Annotated[str, Query(description="A run: all that asked the same.")] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Newest runs.")] = MOST,
) -> Response:
    """Tell by date and system: pass rate, cost-of-pass, verdict, frontier, drift; and snapshots."""
    return answer(history_of(store, schedule=schedule, run=run, limit=limit))


@router.get(
    "/history/frontier",
    responses=says(FrontierHistory, 404),
    response_class=Response,
    summary="The frontier over time",
)
def history_of_frontier(
    store: StoreDep,
    book: PricesDep,
    _: Reader,
    name: Annotated[str, Query(description="A run or a schedule: all runs of its samples.")],
    limit: Annotated[int, Query(ge=1, le=200, description="Newest runs.")] = MOST,
    basis: Basis = "saturated",
    prices: Annotated[bool, Query(description="At the prices of every known day, too.")] = False,
    expert: Annotated[str, Query(description="Dollars of an expert's answer.")] = "",
) -> Response:
    """Tell how V, the cheapest system and the undominated ones moved, run by run."""
    ask = Ask(limit=limit, basis=basis, prices=prices, options=CostOptions.read(expert=expert))
    return answer(frontier_history(store, name, book, ask))


@router.post(
    "/runs/{run}/reprice",
    responses=says(Repriced, 404),
    response_class=Response,
    summary="A run at another day's prices",
)
def reprice_run(
    run: str,
    store: StoreDep,
    prices: PricesDep,
    _: Runner,
    as_of: Annotated[date | None, Query(description="A day, UTC; today if none is given.")] = None,
    basis: Basis = "saturated",
    save: Annotated[bool, Query(description="Keep the table as a snapshot.")] = False,
) -> Response:
    """Price a run again from what it used; what was booked stays as it is."""
    now = datetime.now(UTC)
    made = reprice(store, run, prices, as_of or now.date(), basis)
    if save:
        keep(store, made, now)
    return answer(made)
