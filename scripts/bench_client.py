"""CPU that the HTTP client needs per request, beside a bare aiohttp call with the same body.

The mock endpoint runs in a process of its own; what is counted is this process's CPU time only,
so other load on the machine disturbs it little. Rounds of the variants alternate, and the median
round counts::

    python scripts/bench_client.py [--requests 400] [--rounds 7] [--tokens 64] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec

from qbench.benchmarks.chat import ChatRequest, Message, Sampling, ToolSpec
from qbench.workers.engines.openai_chat import ClientSettings, OpenAIChat
from qbench.workers.engines.openai_wire import request_body
from qbench.workers.engines.process import ServerCommand, free_port, running
from qbench.workers.limiter import FixedLimit, Gate

Call = Callable[[], Awaitable[object]]

TOOLS = tuple(
    ToolSpec(
        name=f"tool_{n}",
        description="Look something up and say what was found there.",
        parameters={"type": "object", "properties": {"key": {"type": "string"}}},
    )
    for n in range(5)
)
REQUEST = ChatRequest(
    messages=(
        Message(role="system", content="You answer with the help of tools. " * 20),
        *(Message(role="user", content="A question of some length, asked again. " * 10),) * 5,
    ),
    tools=TOOLS,
    sampling=Sampling(max_tokens=64, seed=1),
)


def bare(session: aiohttp.ClientSession, url: str, *, stream: bool) -> Call:
    """Return a call that sends the body and reads all bytes, and does nothing with them."""
    body = {**request_body(REQUEST, "mock"), "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    data = msgspec.json.encode(body)

    async def call() -> None:
        async with session.post(f"{url}/chat/completions", data=data) as response:
            async for _ in response.content.iter_any():
                pass

    return call


async def cpu_ms(call: Call, requests: int, concurrency: int) -> float:
    """Return this process's CPU milliseconds per request."""
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            await call()

    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return (time.process_time() - began) / requests * 1000


async def measure(url: str, told: argparse.Namespace) -> dict[str, float]:
    """Return the median CPU milliseconds per request of each variant."""
    rounds: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        calls: dict[str, Call] = {}
        for kind, stream in (("whole", False), ("streamed", True)):
            chat = OpenAIChat(
                url,
                "mock",
                gate=Gate(FixedLimit(told.concurrency)),
                settings=ClientSettings(stream=stream),
            )
            await stack.enter_async_context(chat)
            calls[f"bare {kind}"] = bare(session, url, stream=stream)
            calls[f"qbench {kind}"] = lambda chat=chat: chat.reply(REQUEST)  # type: ignore[misc]
        for number in range(told.rounds + 1):  # the first warms up
            for name, call in calls.items():
                took = await cpu_ms(call, told.requests, told.concurrency)
                if number:
                    rounds.setdefault(name, []).append(took)
    return {name: statistics.median(values) for name, values in rounds.items()}


def report(medians: dict[str, float]) -> dict[str, Any]:
    """Add the differences and ratios that say what the client costs by itself."""
    ratios = {
        kind: medians[f"qbench {kind}"] / medians[f"bare {kind}"] for kind in ("whole", "streamed")
    }
    own = {
        kind: medians[f"qbench {kind}"] - medians[f"bare {kind}"] for kind in ("whole", "streamed")
    }
    return {"cpu_ms_per_request": medians, "ratio_to_bare": ratios, "own_cpu_ms": own}


async def run(told: argparse.Namespace) -> dict[str, Any]:
    """Start the endpoint and measure against it."""
    port = free_port()
    argv = [sys.executable, "-m", "qbench.workers.mock_endpoint", "--port", str(port)]
    argv += ["--output-tokens", str(told.tokens)]
    command = ServerCommand(name="mock", argv=argv, root_url=f"http://127.0.0.1:{port}")
    async with running(command, say=lambda line: print(line, file=sys.stderr)):
        return report(await measure(f"{command.root_url}/v1", told))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400, help="per round and variant")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=64, help="chunks of a streamed reply")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    found = asyncio.run(run(told))
    if told.json:
        print(json.dumps(found))
        return 0
    for name, took in found["cpu_ms_per_request"].items():
        print(f"{name:16} {took:7.3f} ms of CPU per request")
    for kind, ratio in found["ratio_to_bare"].items():
        own = found["own_cpu_ms"][kind]
        print(f"{kind}: {ratio:.2f} x bare aiohttp, {own:.3f} ms of its own")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
