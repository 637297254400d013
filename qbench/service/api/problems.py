"""Errors as problem documents (RFC 9457): what happened, and what to do."""

from __future__ import annotations

import logging
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from qbench import errors
from qbench.service.api.answers import PROBLEM, BodyTooLarge, Problem

logger = logging.getLogger(__name__)

STATUS: dict[type[errors.QbenchError], int] = {
    BodyTooLarge: 413,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.ConfigError: 422,
    errors.RunTaken: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooManyRequests: 429,
    errors.BudgetReached: 402,
    errors.StoreError: 503,
    errors.BrokerDown: 503,
    errors.EngineError: 502,
}
"""The first class that fits decides."""


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    app.add_middleware(NoNulls)
    app.add_exception_handler(errors.QbenchError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(msgspec.ValidationError, _unreadable)
    app.add_exception_handler(msgspec.DecodeError, _unreadable)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _unexpected)


class NoNulls:
    """Refuses NUL characters in paths and queries, which PostgreSQL cannot look up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            asked = scope.get("raw_path", b"") + b"?" + scope.get("query_string", b"")
            if b"%00" in asked:
                refused = problem(422, "The address holds a NUL character.", hint=SEE)
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)


def problem(
    status: int, detail: str, *, hint: str = "", kind: str = "", **more: object
) -> Response:
    """Make a problem document."""
    slug = kind or HTTPStatus(status).phrase.lower().replace(" ", "-")
    body = Problem(
        type=f"urn:qbench:problem:{slug}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        hint=hint,
        **more,  # type: ignore[arg-type]  # the fields of Problem
    )
    return Response(msgspec.json.encode(body), status, media_type=PROBLEM)


def _expected(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.QbenchError)
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    answer = problem(status, error.what, hint=error.hint, kind=_slug(error))
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.TooManyRequests):
        answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if status >= 500:
        logger.warning("%s", error)
    return answer


def _slug(error: errors.QbenchError) -> str:
    name = type(error).__name__
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = tuple(
        {"pointer": "/".join(map(str, one["loc"])), "detail": str(one["msg"])}
        for one in error.errors()
    )
    said = "; ".join(f"{one['pointer']}: {one['detail']}" for one in found)
    return problem(422, f"The request cannot be read: {said}.", hint=SEE, errors=found)


SEE = "See /openapi.json for what it takes."


def _unreadable(_: Request, error: Exception) -> Response:
    said, pointer = [*str(error).split(" - at `$", 1), ""][:2]
    found = ({"pointer": pointer.rstrip("`") or "/", "detail": said},)
    where = f" at {pointer.rstrip('`')}" if pointer else ""
    return problem(422, f"The body cannot be read{where}: {said}.", hint=SEE, errors=found)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path}."
    answer = problem(error.status_code, detail, hint=SEE)
    answer.headers.update(error.headers or {})
    return answer


def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "The service failed.", hint="Its log says why; please report it.")
