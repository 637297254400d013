"""Runs: handed in, listed, watched, stopped, taken up again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from qbench.service.api.answers import (
    Cursor,
    Limit,
    answer,
    body_of,
    cursor_of,
    key_of,
    says,
    takes,
)
from qbench.service.api.deps import DeskDep, Reader, Runner, StoreDep
from qbench.service.desk import Submission
from qbench.service.domain import Controls, RunStatus
from qbench.service.keys import audited
from qbench.service.listing import (
    Rescored,
    RunPage,
    RunProgress,
    SubmittedRun,
    facts_of,
    progress_of,
    run_facts,
)
from qbench.service.rescoring import rescore
from qbench.service.tracing import continued, current_traceparent, span

router = APIRouter(prefix="/v1/runs", tags=["runs"])

EXAMPLE = {
    "order": {"suite": "mcp", "formats": ["fp8", "w4a16"], "samples": 160},
    "controls": {"budget": "0.50", "concurrency": 16},
}
IDEMPOTENCY = Header(
    max_length=200,
    pattern=r"^[\x21-\x7e]*$",
    description="Send the same key again when no answer came: the run is made once.",
)


@router.post(
    "",
    responses=says(SubmittedRun, 400, 402, 404, 409, 413, about="Taken up again.")
    | says(SubmittedRun, status=201, about="Made."),
    openapi_extra=takes(Submission, example=EXAMPLE),
    response_class=Response,
    summary="Hand in a run",
)
async def submit(
    request: Request,
    store: StoreDep,
    desk: DeskDep,
    caller: Runner,
    idempotency_key: Annotated[str, IDEMPOTENCY] = "",
) -> Response:
    """Queue a run, or take up the same request's unfinished one unless ``fresh`` is true."""
    wanted = await body_of(request, Submission)
    with (
        continued(request.headers.get("traceparent", "")),
        span("qbench.submit", "server", {"qbench.suite": wanted.order.suite}),
    ):
        made = await run_in_threadpool(
            desk.submit,
            wanted,
            caller,
            idempotency_key=idempotency_key,
            traceparent=current_traceparent() or request.headers.get("traceparent", "")[:100],
        )
    detail = {"created": made.created, "priority": wanted.priority}
    await run_in_threadpool(audited, store, caller, "run.submit", made.run.id, detail)
    facts = await run_in_threadpool(facts_of, store, made.run)
    where = {"Location": f"/v1/runs/{made.run.id}"}
    status = 201 if made.created else 200
    return answer(SubmittedRun(run=facts, created=made.created), status, where)


@router.get("", responses=says(RunPage), response_class=Response, summary="List runs")
def list_runs(
    store: StoreDep,
    _: Reader,
    limit: Limit = 20,
    cursor: Cursor = "",
    status: Annotated[RunStatus | None, Query(description="Only in this status.")] = None,
) -> Response:
    """List the runs, newest first."""
    found = store.runs(limit + 1, before=key_of(cursor), status=status.value if status else "")
    page = found[:limit]
    facts = tuple(run_facts(one) for one in page)
    more = cursor_of(page[-1].run.id) if len(found) > limit else None
    return answer(RunPage(runs=facts, next=more), headers=link("/v1/runs", more))


def link(path: str, cursor: str | None) -> dict[str, str]:
    """Name the next page in a header (RFC 8288)."""
    return {"Link": f'<{path}?cursor={cursor}>; rel="next"'} if cursor else {}


@router.get("/{run}", responses=says(RunProgress, 404), response_class=Response, summary="A run")
def show_run(run: str, store: StoreDep, desk: DeskDep, _: Reader) -> Response:
    """Show how far a run is, what it has cost, and what it waits for."""
    return answer(progress_of(store, desk, store.run(run)))


@router.post(
    "/{run}/cancel", responses=says(RunProgress, 404), response_class=Response, summary="Stop a run"
)
def cancel(run: str, store: StoreDep, desk: DeskDep, caller: Runner) -> Response:
    """Stop a run. What has ended is kept; a run at rest is left alone."""
    stopped = desk.cancel(run, caller)
    audited(store, caller, "run.cancel", stopped.id)
    return answer(progress_of(store, desk, stopped))


@router.post(
    "/{run}/resume",
    responses=says(RunProgress, 400, 404, 409, 413),
    openapi_extra=takes(Controls, optional=True, example={"budget": "2.00"}),
    response_class=Response,
    summary="Take a run up again",
)
async def resume(
    run: str, request: Request, store: StoreDep, desk: DeskDep, caller: Runner
) -> Response:
    """Queue what is missing or errored, with other controls where a body says so."""
    controls = await body_of(request, Controls) if await has_body(request) else None
    taken_up = await run_in_threadpool(desk.resume, run, caller, controls)
    await run_in_threadpool(audited, store, caller, "run.resume", taken_up.id)
    return answer(await run_in_threadpool(progress_of, store, desk, taken_up))


async def has_body(request: Request) -> bool:
    """Say whether a body was sent."""
    return request.headers.get("content-length", "0") != "0" or (
        "transfer-encoding" in request.headers
    )


@router.post(
    "/{run}/score", responses=says(Rescored, 404), response_class=Response, summary="Judge again"
)
def score(run: str, store: StoreDep, caller: Runner) -> Response:
    """Judge the stored transcripts again; calls no model."""
    found = store.run(run)
    audited(store, caller, "run.score", found.id)
    return answer(Rescored(run=found.id, attempts=rescore(store, found)))
