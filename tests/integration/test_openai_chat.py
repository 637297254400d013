"""The HTTP client against the mock endpoint, over real sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from qbench.benchmarks.chat import Message, Turn
from qbench.errors import (
    ContextTooLong,
    EngineReplyInvalid,
    EngineTimeout,
    EngineUnavailable,
)
from qbench.workers.engines.openai_chat import ClientSettings, OpenAIChat
from qbench.workers.engines.openai_errors import Backoff
from qbench.workers.engines.process import ServerCommand, free_port, running
from qbench.workers.limiter import AdaptiveLimit, AdaptiveRule, FixedLimit, Gate
from tests.integration.endpoints import answering, ask, mock

QUICK = Backoff(retries=2, first_s=0.001)
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def client(url: str, *, key: str = "", gate: Gate | None = None, **settings: Any) -> OpenAIChat:
    told = ClientSettings(**{"backoff": QUICK, **settings})
    return OpenAIChat(url, "mock", api_key=key, gate=gate, settings=told)


async def turn_of(url: str, prompt: str = "hello", **settings: Any) -> Turn:
    async with client(url, **settings) as chat:
        return await chat.reply(ask(prompt))


@BOTH_WAYS
async def test_a_reply_has_text_usage_and_times(stream: bool) -> None:
    async with mock(reply={"*": [{"say": "four words of text", "think": "hm"}]}) as (url, _):
        turn = await turn_of(url, stream=stream)
    assert turn.message == Message(role="assistant", content="four words of text", reasoning="hm")
    assert turn.finish_reason == "stop"
    assert turn.served_model == "mock"
    assert turn.usage is not None
    assert turn.raw_usage == {
        "prompt_tokens": turn.usage.prompt_tokens,
        "completion_tokens": turn.usage.completion_tokens,
        "total_tokens": turn.usage.prompt_tokens + turn.usage.completion_tokens,
    }
    assert turn.retries == 0
    assert turn.timing.e2el_s > 0
    assert (turn.timing.ttft_s is not None) == stream


async def test_ttft_gaps_and_total_are_those_of_the_server() -> None:
    async with mock(output_tokens=8, ttft_ms=40, itl_ms=10) as (url, _):
        timing = (await turn_of(url, stream=True)).timing
    assert timing.ttft_s is not None
    assert timing.ttft_s >= 0.039
    assert len(timing.itl_s) == 7
    assert timing.e2el_s == pytest.approx(timing.ttft_s + sum(timing.itl_s))
    assert timing.e2el_s >= 0.109


@BOTH_WAYS
async def test_tool_calls_come_back_in_order_with_their_raw_arguments(stream: bool) -> None:
    calls = [["add", {"a": 1}], ["add", '{"a": 2,'], ["now", None]]
    async with (
        mock(reply={"*": [{"calls": calls}]}) as (url, _),
        client(url, stream=stream) as chat,
    ):
        turn = await chat.reply(ask(tools=True))
    assert [(call.name, call.arguments) for call in turn.message.tool_calls] == [
        ("add", '{"a":1}'),
        ("add", '{"a": 2,'),
        ("now", "{}"),
    ]
    assert len({call.id for call in turn.message.tool_calls}) == 3
    assert turn.finish_reason == "tool_calls"


@BOTH_WAYS
async def test_provider_details_of_usage_are_kept_untouched(stream: bool) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 4},
        "cost_in_moon_dollars": "7",
    }

    async def handler(_: web.Request) -> web.StreamResponse:
        if not stream:
            message = {"role": "assistant", "content": "x"}
            return web.json_response({"choices": [{"message": message}], "usage": usage})
        chunks = (
            b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\r\n\r\n'
            b": a comment\nevent: ping\n"
            b'data: {"choices":[],"usage":%s}\n\ndata: [DONE]\n\n'
        ) % json.dumps(usage).encode()
        return web.Response(body=chunks, content_type="text/event-stream")

    async with answering(handler) as url:
        turn = await turn_of(url, stream=stream)
    assert turn.raw_usage == usage
    assert turn.usage is not None
    assert (turn.usage.cached_tokens, turn.usage.reasoning_tokens) == (64, 4)


@BOTH_WAYS
async def test_usage_that_is_not_told_is_unknown_and_not_zero(stream: bool) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        if not stream:
            return web.json_response({"choices": [{"message": {"content": "x"}}]})
        body = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
        return web.Response(body=body, content_type="text/event-stream")

    async with answering(handler) as url:
        turn = await turn_of(url, stream=stream)
    assert turn.usage is None
    assert turn.raw_usage == {}


class Flaky:
    """Fails the first requests as told, then answers."""

    def __init__(self, *failures: web.Response) -> None:
        self.failures = list(failures)
        self.requests = 0

    async def answer(self, _: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self.failures:
            return self.failures.pop(0)
        return web.json_response({"choices": [{"message": {"content": "at last"}}]})


def refusal(status: int, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": "no"}}, status=status, headers=headers)


async def test_a_429_and_a_500_are_tried_again_and_counted() -> None:
    flaky = Flaky(refusal(429, **{"Retry-After": "0.05"}), refusal(500))
    async with answering(flaky.answer) as url:
        turn = await turn_of(url)
    assert turn.message.content == "at last"
    assert turn.retries == 2
    assert flaky.requests == 3


async def test_retry_after_is_waited_for_and_cuts_the_adaptive_limit() -> None:
    flaky = Flaky(refusal(429, **{"Retry-After": "0.3"}))
    policy = AdaptiveLimit(AdaptiveRule(least=1, start=10))
    loop = asyncio.get_running_loop()
    async with answering(flaky.answer) as url, client(url, gate=Gate(policy)) as chat:
        began = loop.time()
        await chat.reply(ask())
        waited = loop.time() - began
    assert waited >= 0.3
    assert policy.limit == 8


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("rate_limit", "HTTP 429: Too many requests"),
        ("http_500", "HTTP 500: Out of luck"),
        ("disconnect", "broke off|closed|reset|failed"),
    ],
)
@BOTH_WAYS
async def test_what_retries_do_not_cure_is_unavailable(fault: str, said: str, stream: bool) -> None:
    async with mock(faults={fault: 1.0}, retry_after_s=0) as (url, endpoint):
        with pytest.raises(EngineUnavailable, match=said) as caught:
            await turn_of(url, stream=stream)
    assert endpoint.requests == 3
    assert caught.value.hint


@BOTH_WAYS
async def test_a_malformed_body_is_invalid_and_not_tried_again(stream: bool) -> None:
    async with mock(faults={"malformed": 1.0}) as (url, endpoint):
        with pytest.raises(EngineReplyInvalid, match="not a chat completion"):
            await turn_of(url, stream=stream)
    assert endpoint.requests == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b'{"choices": []}', b"<html>"])
async def test_bytes_that_are_no_reply_are_invalid(body: bytes) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    async with answering(handler) as url:
        with pytest.raises(EngineReplyInvalid, match=r"OpenAI-compatible"):
            await turn_of(url)


@BOTH_WAYS
async def test_a_flood_is_cut_off_at_the_cap(stream: bool) -> None:
    async with mock(faults={"flood": 1.0}) as (url, _):
        with pytest.raises(EngineReplyInvalid, match="more than 1000000 bytes"):
            await turn_of(url, stream=stream, reply_cap=1_000_000)


async def test_a_streamed_flood_is_cut_off_at_the_cap() -> None:
    async with mock(reply="megabytes") as (url, _):
        with pytest.raises(EngineReplyInvalid, match="more than 100000 bytes"):
            await turn_of(url, stream=True, reply_cap=100_000)


@BOTH_WAYS
async def test_a_hang_is_a_timeout_and_the_gate_is_free_again(stream: bool) -> None:
    gate = Gate(FixedLimit(1))
    async with (
        mock(faults={"hang": 1.0}) as (url, endpoint),
        client(url, stream=stream, gate=gate) as chat,
    ):
        with pytest.raises(EngineTimeout, match=r"sent nothing for 0\.1 s"):
            await chat.reply(ask(timeout_s=0.1))
    assert endpoint.requests == 1
    assert gate.in_flight == 0


async def test_cancelling_frees_the_gate() -> None:
    gate, arrived = Gate(FixedLimit(1)), asyncio.Event()

    async def handler(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with answering(handler) as url, client(url, gate=gate) as chat:
        stuck = asyncio.create_task(chat.reply(ask()))
        await arrived.wait()
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert gate.in_flight == 0


@BOTH_WAYS
async def test_a_bad_key_is_told_without_the_key(stream: bool) -> None:
    async with mock(api_key="right") as (url, endpoint):
        with pytest.raises(EngineUnavailable, match="HTTP 401: Incorrect API key") as caught:
            await turn_of(url, key="sk-secret", stream=stream)
        assert "sk-secret" not in repr(caught.value)
        assert "sk-secret" not in repr(client(url, key="sk-secret"))
        assert "QBENCH_API_KEY" in caught.value.hint
        assert endpoint.requests == 1
        assert (await turn_of(url, key="right", stream=stream)).message.content == "hello"


@BOTH_WAYS
async def test_a_prompt_that_does_not_fit_is_told_apart(stream: bool) -> None:
    async with mock(context=10) as (url, endpoint):
        with pytest.raises(ContextTooLong, match="maximum context length is 10 tokens"):
            await turn_of(url, "x" * 400, stream=stream)
    assert endpoint.requests == 1


async def test_a_refused_connection_is_tried_again_and_then_unavailable() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(EngineUnavailable, match=f"connection to {url} failed"):
        await turn_of(url)


@pytest.mark.parametrize("url", ["ftp://host/v1", "localhost:8000/v1", "http://"])
async def test_what_is_no_http_url_is_said_to_be_none(url: str) -> None:
    with pytest.raises(EngineUnavailable, match="not an HTTP URL"):
        await turn_of(url)


async def test_no_more_than_the_gate_lets_through_are_in_flight() -> None:
    now, most = 0, 0

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.005)
        now -= 1
        return web.json_response({"choices": [{"message": {"content": "x"}}]})

    async with answering(handler) as url, client(url, gate=Gate(FixedLimit(3))) as chat:
        await asyncio.gather(*(chat.reply(ask()) for _ in range(20)))
    assert most == 3


async def test_the_module_serves_on_its_own_and_times_out_nobody() -> None:
    port = free_port()
    argv = (sys.executable, "-m", "qbench.workers.mock_endpoint", "--port", str(port))
    options = ("--reply", "sum", "--accuracy", "1.0", "--api-key", "k")
    command = ServerCommand(
        name="mock", argv=(*argv, *options), root_url=f"http://127.0.0.1:{port}"
    )
    async with running(command, say=print):
        turn = await turn_of(f"{command.root_url}/v1", "20 + 22", key="k")
        async with aiohttp.ClientSession() as session:
            models = await (await session.get(f"{command.root_url}/v1/models")).json()
    assert turn.message.content == "42"
    assert models["data"][0]["id"] == "mock"
