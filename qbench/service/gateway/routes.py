"""The OpenAI-compatible gateway: one address for local ``model@format`` and for API models.

Every call is metered under its key, also one that failed or whose client went away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from qbench.errors import BudgetReached, ConfigError, PriceMissing, QbenchError
from qbench.service.access import Caller
from qbench.service.api.answers import answer
from qbench.service.gateway.backend import Backend, Json
from qbench.service.gateway.metering import Metered, last_event
from qbench.service.gateway.proxy import Proxy, Upstream
from qbench.service.gateway.wire import MOST_BYTES, event, read_body, refusal
from qbench.service.reports.values import to_json
from qbench.service.store import Store

CHAT = "/chat/completions"
LEGACY = "/completions"


class Gateway:
    """Answers requests with a backend's models and books what they cost."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self.store = store
        self.backend = backend
        self.proxy = Proxy()

    async def answer(self, request: Request, path: str) -> Response:
        """Answer a completion request; errors have OpenAI's shape."""
        try:
            caller: Caller = await run_in_threadpool(_caller, request)
            body = read_body(await _body(request))
            api = self.backend.is_api(body["model"])
            await run_in_threadpool(self._check_budget, caller, body["model"], api=api)
        except QbenchError as error:
            return refusal(error)
        metered = Metered(self.store, caller, body["model"])
        try:
            if api:
                return await self._ask_api(metered, body, legacy=path == LEGACY)
            return await self._ask_engine(metered, body, path)
        except QbenchError as error:
            await metered.failed(error)
            return refusal(error)
        except asyncio.CancelledError:
            await asyncio.shield(metered.left())
            raise

    def _check_budget(self, caller: Caller, model: str, *, api: bool) -> None:
        """Refuse what a key with a budget may not or cannot pay.

        Raises:
            BudgetReached: it is spent.
            PriceMissing: nobody knows what the model costs.

        """
        if caller.key_id is None:
            return
        left = self.store.api_key(caller.key_id).left
        if left is None:
            return
        if left <= 0:
            raise BudgetReached("The budget of this key is spent.", hint="Ask for another key.")
        if api and self.backend.price(model)(datetime.now(UTC)) is None:
            raise PriceMissing(
                f"{model} has no price, and this key has a budget.",
                hint="Give the model a price (docs/money.md), or use a key without a budget.",
            )

    async def _ask_api(self, metered: Metered, body: Json, *, legacy: bool) -> Response:
        metered.price = self.backend.price(body["model"])
        asks_usage = _asks_usage(body)
        if body.get("stream"):
            body = {**body, "stream_options": _with_usage(body)}
        found = await self.backend.complete(body["model"], body, legacy=legacy)
        if isinstance(found, dict):
            metered.seen.whole(to_json(found))
            await metered.done(200)
            return answer(found)
        events = self._api_events(metered, found, asks_usage=asks_usage)
        return Streamed(events, metered, AsyncExitStack())

    async def _api_events(
        self, metered: Metered, chunks: AsyncIterator[Json], *, asks_usage: bool
    ) -> AsyncIterator[bytes]:
        try:
            async with metered.streaming():
                async for chunk in chunks:
                    for one, usage_alone in metered.events(event(to_json(chunk))):
                        if asks_usage or not usage_alone:
                            yield one
                for one, _ in metered.events(event(b"[DONE]")):
                    yield one
        except QbenchError as error:
            yield last_event(error)

    async def _ask_engine(self, metered: Metered, body: Json, path: str) -> Response:
        """Hold the engine, forward the request byte by byte, and let go when it is answered."""
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(self.backend.engine(body["model"]))
            metered.begin_on(engine)
            stack.callback(metered.end_on)
            sent = body | {"model": engine.served_name}
            if body.get("stream"):
                sent["stream_options"] = _with_usage(body)
            upstream = await self.proxy.post(engine.url + path, sent)
            if not upstream.is_stream:
                data = await upstream.read()
                metered.seen.whole(data)
                await metered.done(upstream.status)
                return Response(data, upstream.status, media_type="application/json")
            events = _engine_events(metered, upstream, asks_usage=_asks_usage(body))
            return Streamed(events, metered, stack.pop_all())


class Streamed(StreamingResponse):
    """Server-sent events; what they hold is let go also when nobody begins to read them."""

    def __init__(
        self, events: AsyncIterator[bytes], metered: Metered, held: AsyncExitStack
    ) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._metered = metered
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await asyncio.shield(self._metered.left())
            await asyncio.shield(self._held.aclose())


async def _engine_events(
    metered: Metered, upstream: Upstream, *, asks_usage: bool
) -> AsyncIterator[bytes]:
    try:
        async with metered.streaming():
            async for piece in upstream.pieces():
                for one, usage_alone in metered.events(piece):
                    if asks_usage or not usage_alone:
                        yield one
    except QbenchError as error:
        yield last_event(error)


def _asks_usage(body: Json) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _with_usage(body: Json) -> Json:
    """Ask for usage in the last event: it is metered, and shown to those who asked for it."""
    return (body.get("stream_options") or {}) | {"include_usage": True}


def _caller(request: Request) -> Caller:
    caller: Caller = request.app.state.authenticate(request)
    caller.must("run")
    return caller


async def _body(request: Request) -> bytes:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_BYTES:
            raise ConfigError(f"The body is larger than {MOST_BYTES} bytes.", hint="Send less.")
    return data


def gateway_router(store: Store, backend: Backend) -> APIRouter:
    """Make the gateway's routes."""
    gateway = Gateway(store, backend)
    router = APIRouter(prefix="/v1", tags=["gateway"])

    @router.post(CHAT, response_class=Response, summary="Chat completion", openapi_extra=OPENAI)
    async def chat_completions(request: Request) -> Response:
        """Answer as OpenAI's chat completions: streamed or not, tools, JSON schemas."""
        return await gateway.answer(request, CHAT)

    @router.post(LEGACY, response_class=Response, summary="Completion", openapi_extra=OPENAI)
    async def completions(request: Request) -> Response:
        """Answer as OpenAI's legacy completions."""
        return await gateway.answer(request, LEGACY)

    @router.get("/models", response_class=Response, summary="Models of the gateway")
    def models(request: Request) -> Response:
        """List the local models in each format; API models are named as in litellm."""
        try:
            _caller_of_any(request)
        except QbenchError as error:
            return refusal(error)
        made = [
            {"id": name, "object": "model", "created": 0, "owned_by": "qbench"}
            for name in backend.local_models()
        ]
        return answer({"object": "list", "data": made})

    @router.get("/gateway/usage", response_class=Response, summary="What was used")
    def usage(request: Request) -> Response:
        """Add calls, tokens and dollars up by key and model: one's own, or all for admins."""
        try:
            caller = _caller_of_any(request)
        except QbenchError as error:
            return refusal(error)
        everything = caller.key_id is None or "admin" in caller.scopes
        return answer({"schema": 1, "usage": store.usage(None if everything else caller.key_id)})

    return router


OPENAI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["model"]},
                "example": {
                    "model": "SmolLM2-135M-Instruct@fp8",
                    "messages": [{"role": "user", "content": "Say hello."}],
                },
            }
        },
    },
    "responses": {
        "200": {"description": "A completion, or its chunks.", "content": {}},
        "400": {"description": "It cannot be done as written; OpenAI's error shape."},
        "401": {"description": "No key, or one that is not good."},
        "402": {"description": "The key's budget is spent."},
        "403": {"description": "The key lacks the scope `run`."},
        "404": {"description": "No such model; close names are listed."},
        "429": {"description": "Too many requests."},
        "502": {"description": "The engine or the provider failed."},
        "503": {"description": "No device is free; see Retry-After."},
        "504": {"description": "The engine sent nothing for too long."},
    },
}


def _caller_of_any(request: Request) -> Caller:
    caller: Caller = request.app.state.authenticate(request)
    caller.must("read")
    return caller
