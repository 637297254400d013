from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse

from qbench.service.api.measured import MeasuredRequests
from qbench.service.metrics import COUNTED


async def told_when(gate: asyncio.Event) -> AsyncIterator[bytes]:
    await gate.wait()
    yield b"data: x\n\n"


def application(gate: asyncio.Event | None = None) -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/api/v1")

    @router.get("/runs/{run_id}")
    def run(run_id: str) -> str:
        return run_id

    @router.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret")

    @router.get("/events")
    def events() -> StreamingResponse:
        return StreamingResponse(told_when(gate or asyncio.Event()), media_type="text/event-stream")

    app.include_router(router)
    app.add_middleware(MeasuredRequests)
    return app


def seen(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return COUNTED.get_sample_value("qbench_http_request_seconds_count", labels) or 0.0


@pytest.fixture
def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/api/v1/runs/abc", "/api/v1/runs/{run_id}", 200),
        ("POST", "/api/v1/runs/abc", "/api/v1/runs/{run_id}", 405),
        ("GET", "/api/v1/broken", "/api/v1/broken", 500),
        ("GET", "/no/such/place", "unmatched", 404),
    ],
)
async def test_a_request_counts_under_its_routes_template(
    client: httpx.AsyncClient, method: str, path: str, route: str, status: int
) -> None:
    before = seen(method, route, status)
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert seen(method, route, status) == before + 1


async def test_a_method_made_up_is_one_series(client: httpx.AsyncClient) -> None:
    await client.request("BREW", "/no/such/place")
    assert seen("OTHER", "unmatched", 404) == 1


async def test_a_stream_counts_when_it_begins_and_only_once() -> None:
    gate, began = asyncio.Event(), seen("GET", "/api/v1/events", 200)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))
        assert seen("GET", "/api/v1/events", 200) == began + 1
        gate.set()

    await application(gate)(scope("/api/v1/events"), receive, send)
    assert [message["type"] for message in sent[:2]] == [
        "http.response.start",
        "http.response.body",
    ]
    assert seen("GET", "/api/v1/events", 200) == began + 1


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "server": ("test", 80),
        "client": ("test", 1),
    }
