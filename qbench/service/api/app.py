"""The REST application: routes, problems, and a document made of the values they send."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI, Request

from qbench import __version__
from qbench.service.access import LOCAL, Caller
from qbench.service.api import (
    arena,
    attempts,
    cascade,
    catalogue,
    comparisons,
    costs,
    efficiency,
    events,
    frontiers,
    health,
    kernel_costs,
    keys,
    metrics,
    noise,
    plans,
    problems,
    results,
    runs,
    scaling,
    schedules,
    strategies,
)
from qbench.service.api.answers import ABOUT, KNOWN, PROBLEM, Problem, components, refer
from qbench.service.api.measured import MeasuredRequests
from qbench.service.desk import Desk
from qbench.service.pricebook import PriceBook
from qbench.service.store import Store

TAGS = (
    ("runs", "Hand in, watch, stop, take up again."),
    ("attempts", "What was said and done, page by page."),
    ("results", "Rankings, comparisons, frontiers: the same values as the terminal's."),
    ("catalogue", "Models, formats, suites, engines, prices."),
    ("schedules", "What recurs, what it found, prices of other days."),
    ("access", "Keys and what was done with them."),
    ("gateway", "OpenAI-compatible: local `model@format` and API models, metered."),
    ("health", "Whether the service answers and can work."),
)
Authenticate = Callable[[Request], Caller]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    store: Store,
    desk: Desk,
    prices: PriceBook,
    *,
    authenticate: Authenticate = lambda _: LOCAL,
    broker_answers: Callable[[], bool] = lambda: True,
    routers: Sequence[APIRouter] = (),
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Make the application.

    Args:
        store: where everything is kept.
        desk: where runs are handed in.
        prices: what machines and models cost.
        authenticate: finds who asks; raises Unauthenticated.
        broker_answers: whether messages can be sent.
        routers: further routes, those of the gateway.
        lifespan: what is open while the application serves.

    """
    app = FastAPI(
        title="qbench",
        version=__version__,
        summary="Which model, in which number format, gives a correct answer for the least money?",
        openapi_tags=[{"name": name, "description": about} for name, about in TAGS],
        redoc_url=None,
        docs_url=None,
        lifespan=lifespan,
    )
    app.state.store, app.state.desk, app.state.prices = store, desk, prices
    app.state.authenticate, app.state.broker_answers = authenticate, broker_answers
    app.state.watches = events.Watches()
    problems.install(app)
    app.add_middleware(MeasuredRequests)
    reading = (
        results,
        arena,
        comparisons,
        frontiers,
        costs,
        efficiency,
        noise,
        scaling,
        cascade,
        strategies,
    )
    known = (catalogue, kernel_costs)
    own = (runs, plans, events, attempts, *reading, *known, schedules, keys, health, metrics)
    for router in (*(module.router for module in own), *routers):
        app.include_router(router)
    app.openapi = _described(app, app.openapi)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI, made: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Add the values that routes send and take to FastAPI's document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None or "Problem" not in _schemas(app.openapi_schema):
            document = app.openapi_schema or made()
            _schemas(document).update(components(KNOWN.values()))
            for path, operation in _operations(document):
                _problems(path, operation)
            for name in ("HTTPValidationError", "ValidationError"):
                _schemas(document).pop(name, None)  # errors are problems here
            app.openapi_schema = document
        return app.openapi_schema

    return openapi


def _schemas(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    return found


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _problems(path: str, operation: dict[str, Any]) -> None:
    """Declare what any route can answer, where the route itself does not."""
    statuses = [422, 500, *([404] if "{" in path else []), *(ASKED if "/v1/" in path else [])]
    for status in statuses:
        about = ABOUT.get(status, "The service failed.")
        said = {"description": about, "content": {PROBLEM: {"schema": refer(Problem)}}}
        told = operation["responses"].get(str(status))
        if told is None or "HTTPValidationError" in str(told):
            operation["responses"][str(status)] = said


ASKED = (401, 403, 429, 503)
"""What can happen wherever a key is asked for."""
