"""Attempts and their transcripts, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from qbench.service.api.answers import Cursor, Limit, answer, cursor_of, key_of, problems_of, says
from qbench.service.api.deps import Reader, StoreDep
from qbench.service.api.runs import link
from qbench.service.listing import AttemptDetail, AttemptPage
from qbench.service.reports.comparison.report import find_system
from qbench.service.reports.values import SCHEMA, to_json
from qbench.service.store import Store

router = APIRouter(prefix="/v1", tags=["attempts"])

Outcome = Annotated[
    Literal["scored", "unscored", "errored"] | None, Query(description="Only that ended so.")
]
LINES = "application/jsonl"


@router.get(
    "/runs/{run}/attempts",
    responses=says(AttemptPage, 404),
    response_class=Response,
    summary="Attempts of a run",
)
def list_attempts(
    run: str,
    store: StoreDep,
    _: Reader,
    limit: Limit = 50,
    cursor: Cursor = "",
    system: Annotated[str, Query(description="A format, or MODEL@FORMAT.")] = "",
    status: Outcome = None,
    passed: bool | None = None,
) -> Response:
    """List current attempts; a page goes on where the one before ended, whatever was added."""
    found = store.run(run)
    views = store.attempts(
        found.id,
        system_id=find_system(found.request.systems, system).id if system else "",
        status=status or "",
        passed=passed,
        after=key_of(cursor),
        limit=limit + 1,
    )
    page = views[:limit]
    more = cursor_of(page[-1].id) if len(views) > limit else None
    made = AttemptPage(run=found.id, attempts=page, next=more)
    return answer(made, headers=link(f"/v1/runs/{found.id}/attempts", more))


@router.get(
    "/attempts/{attempt}",
    responses=says(AttemptDetail, 404),
    response_class=Response,
    summary="One attempt",
)
def show_attempt(attempt: str, store: StoreDep, _: Reader) -> Response:
    """Show an attempt with its transcript."""
    view = store.attempt(attempt)
    return answer(AttemptDetail(attempt=view, transcript=store.transcript(view.id)))


@router.get(
    "/runs/{run}/export",
    responses={200: {"description": "A line per attempt.", "content": {LINES: {}}}}
    | problems_of(404),
    response_class=StreamingResponse,
    summary="Every attempt as JSON lines",
)
def export(run: str, store: StoreDep, _: Reader) -> Response:
    """Stream every attempt of a run, superseded ones too, with its exact dollars."""
    return StreamingResponse(_lines(store, store.run(run).id), media_type=LINES)


def _lines(store: Store, run_id: str) -> Iterator[bytes]:
    for row in store.export(run_id):
        yield to_json({"schema": SCHEMA} | row) + b"\n"
