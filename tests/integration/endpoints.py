"""Real servers on free loopback ports, for tests of what talks to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from qbench.benchmarks.chat import ChatRequest, Message, Sampling, ToolSpec
from qbench.workers.mock_endpoint import MockEndpoint, MockSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve ``app`` on a free port and yield its root URL."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def mock(**told: Any) -> AsyncIterator[tuple[str, MockEndpoint]]:
    """Serve a mock endpoint; yield its base URL, which ends in /v1, and the endpoint itself."""
    endpoint = MockEndpoint(MockSettings(**told))
    async with listening(endpoint.app()) as root:
        yield f"{root}/v1", endpoint


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """Serve one handler for chat completions; yield the base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with listening(app) as root:
        yield f"{root}/v1"


ADD = ToolSpec(
    name="add",
    description="Add two numbers.",
    parameters={"type": "object", "properties": {"a": {"type": "integer"}}},
)


def ask(
    prompt: str = "hello", *, tools: bool = False, timeout_s: float = 20.0, max_tokens: int = 64
) -> ChatRequest:
    """Make a request of one user message."""
    return ChatRequest(
        messages=(Message(role="user", content=prompt),),
        tools=(ADD,) if tools else (),
        sampling=Sampling(max_tokens=max_tokens, seed=1),
        timeout_s=timeout_s,
    )
