"""Is the service alive, and is it ready, and if not, what is missing."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from msgspec import Struct

from qbench.errors import StoreError
from qbench.service import database
from qbench.service.api.answers import JSON, answer, refer, says
from qbench.service.api.deps import Reader, StoreDep
from qbench.service.listing import Workers, workers_of
from qbench.service.reports.values import SCHEMA
from qbench.service.store import Store

router = APIRouter(tags=["health"])


class Live(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str = "live"


class Ready(Struct, frozen=True, kw_only=True):
    """Whether the service can take and make runs."""

    status: str
    """``ready``, ``ready without workers`` or ``not ready``."""
    missing: dict[str, str]
    """What is missing, and what to do."""
    schema: int = SCHEMA


@router.get("/health", response_class=Response, include_in_schema=False)
@router.get(
    "/health/live",
    responses={200: {"description": "Alive.", "content": {JSON: {"schema": refer(Live)}}}},
    response_class=Response,
    summary="Alive",
)
def live() -> Response:
    """Answer whatever else is missing."""
    return answer(Live())


@router.get(
    "/health/ready",
    responses={
        200: {"description": "Ready.", "content": {JSON: {"schema": refer(Ready)}}},
        503: {"description": "Something is missing.", "content": {JSON: {"schema": refer(Ready)}}},
    },
    response_class=Response,
    summary="Ready",
)
def ready(request: Request, store: StoreDep) -> Response:
    """Say what is missing: the database, its schema, the broker; workers are named, not needed."""
    missing = _database(store)
    broker: Callable[[], bool] = request.app.state.broker_answers
    if not broker():
        missing["broker"] = "It does not answer. Start it; what is queued is kept."
    if missing:
        return answer(Ready(status="not ready", missing=missing), 503)
    if not any(view.alive for view in store.workers()):
        none = {"workers": "None is running. Start one: qbench worker"}
        return answer(Ready(status="ready without workers", missing=none))
    return answer(Ready(status="ready", missing={}))


def _database(store: Store) -> dict[str, str]:
    try:
        revision, head = database.current_revision(store.database), database.head_revision()
    except StoreError as error:
        return {"database": str(error)}
    if revision != head:
        return {"schema": f"It is {revision}, not {head}. Run `qbench db upgrade`."}
    return {}


@router.get("/v1/workers", responses=says(Workers), response_class=Response, summary="Workers")
def workers(store: StoreDep, _: Reader) -> Response:
    """List the workers, what waits for them, and what they use."""
    return answer(workers_of(store))
