"""The api engine: real litellm, real sockets, the mock endpoint as the provider."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from qbench.benchmarks.chat import Sampling, TokenUsage, Turn
from qbench.errors import (
    ConfigError,
    ContextTooLong,
    EngineReplyInvalid,
    EngineTimeout,
    EngineUnavailable,
    Unsupported,
)
from qbench.service.domain import System
from qbench.workers.engines import load_engine
from qbench.workers.engines.api import KEYS, ApiEngine
from qbench.workers.engines.process import free_port
from tests.integration.endpoints import answering, ask, mock

pytest.importorskip("litellm", reason="the api extra is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

SECRET = "sk-secret-1234"  # noqa: S105 - opens nothing


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in KEYS.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QBENCH_API_KEY", SECRET)


def system(url: str = "", model: str = "openai/mock", **options: Any) -> System:
    return System(model=model, format="native", engine="api", base_url=url, options=options)


async def turn_of(told: System, prompt: str = "hello", **request: Any) -> Turn:
    async with ApiEngine().serve(told, concurrency=4, say=print) as serving:
        return await serving.chat.reply(ask(prompt, **request))


async def test_a_reply_has_text_thinking_and_the_providers_usage() -> None:
    async with mock(reply={"*": [{"say": "four words", "think": "hm"}]}, api_key=SECRET) as (
        url,
        _,
    ):
        told = system(url)
        async with load_engine("api").serve(told, concurrency=4, say=print) as serving:
            turn = await serving.chat.reply(ask())
            seconds = await serving.seconds()
    assert (turn.message.content, turn.message.reasoning) == ("four words", "hm")
    assert turn.finish_reason == "stop"
    assert turn.served_model == "mock"
    assert turn.usage is not None
    assert turn.usage.prompt_tokens > 0
    assert turn.raw_usage["completion_tokens"] == turn.usage.completion_tokens
    assert turn.timing.ttft_s is None
    assert seconds.busy > 0
    endpoint = serving.endpoint
    assert (endpoint.hardware, endpoint.path, endpoint.served_name) == (
        "",
        "unknown",
        "openai/mock",
    )
    assert endpoint.engine_version.startswith("litellm ")
    assert SECRET not in repr((endpoint, told, turn))


async def test_tool_calls_go_both_ways_with_their_raw_arguments() -> None:
    calls = [["add", {"a": 1}], ["add", '{"a": 2,'], ["now", None]]
    async with mock(reply={"*": [{"calls": calls}]}) as (url, _):
        turn = await turn_of(system(url), tools=True)
    assert [(call.name, call.arguments) for call in turn.message.tool_calls] == [
        ("add", '{"a":1}'),
        ("add", '{"a": 2,'),
        ("now", "{}"),
    ]
    assert turn.finish_reason == "tool_calls"


async def test_what_is_asked_for_is_what_is_sent() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.update(await request.json(), key=request.headers["Authorization"])
        return web.json_response({"choices": [{"message": {"content": "x"}}]})

    async with answering(handler) as url:
        told = system(url, api_key_env="MY_KEY", extra={"service_tier": "flex"})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MY_KEY", "my-own-key")
            await turn_of(replace(told, sampling=Sampling(seed=1)), tools=True)
    assert seen.pop("tools")[0]["function"]["name"] == "add"
    assert seen == {
        "model": "mock",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.0,
        "max_tokens": 64,
        "seed": 1,
        "tool_choice": "auto",
        "service_tier": "flex",
        "key": "Bearer my-own-key",
    }


USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 9,
    "total_tokens": 109,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 4},
    "moon_dollars": 7,
}


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (
            USAGE,
            TokenUsage(
                prompt_tokens=100, cached_tokens=64, completion_tokens=9, reasoning_tokens=4
            ),
        ),
        (None, None),
        ({"prompt_tokens": 100}, None),
        ({"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}, None),
    ],
)
async def test_usage_that_is_not_told_is_unknown_though_litellm_says_zero(
    usage: dict[str, Any] | None, counts: TokenUsage | None
) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        said = {"choices": [{"message": {"content": "x"}}]}
        return web.json_response(said | ({"usage": usage} if usage else {}))

    async with answering(handler) as url:
        turn = await turn_of(system(url))
    assert turn.usage == counts
    assert turn.raw_usage.get("moon_dollars") == (7 if counts else None)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("rate_limit", EngineUnavailable, "HTTP 429: Too many requests"),
        ("http_500", EngineUnavailable, "HTTP 500: Out of luck"),
        ("disconnect", EngineUnavailable, "Connection error"),
        ("bad_key", EngineUnavailable, r"HTTP 401: Incorrect API key provided: \*\*\*"),
        ("malformed", EngineReplyInvalid, "not a chat completion"),
        ("hang", EngineTimeout, r"did not answer within 0\.3 s"),
    ],
)
async def test_faults_are_engine_errors_without_the_key(
    fault: str, kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbench.workers.engines.openai_errors.Backoff.wait", lambda *_: 0.0)
    async with mock(faults={fault: 1.0}) as (url, endpoint):
        with pytest.raises(kind, match=said) as caught:
            await turn_of(system(url), timeout_s=0.3 if fault == "hang" else 20.0)
    assert SECRET not in str(caught.value)
    assert endpoint.requests == (6 if fault in ("rate_limit", "http_500", "disconnect") else 1)


async def test_a_429_is_tried_again_after_what_the_provider_asks_for() -> None:
    requests = 0

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        if requests == 1:
            return web.json_response({"error": {}}, status=429, headers={"Retry-After": "0.01"})
        return web.json_response({"choices": [{"message": {"content": "at last"}}]})

    async with answering(handler) as url:
        turn = await turn_of(system(url))
    assert (turn.message.content, turn.retries) == ("at last", 1)


async def test_a_prompt_that_does_not_fit_is_told_apart() -> None:
    async with mock(context=10) as (url, _):
        with pytest.raises(ContextTooLong, match="maximum context length is 10 tokens"):
            await turn_of(system(url), "x" * 400)


async def test_a_reply_without_choices_is_invalid() -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"choices": []})

    async with answering(handler) as url:
        with pytest.raises(EngineReplyInvalid, match="no message"):
            await turn_of(system(url))


async def test_a_refused_connection_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qbench.workers.engines.openai_errors.Backoff.wait", lambda *_: 0.0)
    with pytest.raises(EngineUnavailable, match="Connection error"):
        await turn_of(system(f"http://127.0.0.1:{free_port()}/v1"))


@pytest.mark.parametrize(
    ("model", "sampling", "missing"),
    [
        ("openai/gpt-5", Sampling(), "temperature"),
        ("anthropic/claude-sonnet-4-5", Sampling(seed=1), "seed"),
        ("openai/o3", Sampling(temperature=0.5, top_p=0.9), "temperature and top_p"),
    ],
)
async def test_sampling_that_the_model_does_not_take_is_not_dropped_in_silence(
    model: str, sampling: Sampling, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    told = replace(system(model=model), sampling=sampling)
    with pytest.raises(Unsupported, match=f"does not take {missing}"):
        async with ApiEngine().serve(told, concurrency=4, say=print):
            pass
    allowed = replace(told, options={"drop_unsupported": True})
    async with ApiEngine().serve(allowed, concurrency=4, say=print) as serving:
        assert serving.endpoint.details["left_out"] == missing.split(" and ")


async def test_what_is_left_out_is_really_not_sent() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.update(await request.json())
        return web.json_response({"choices": [{"message": {"content": "x"}}]})

    async with answering(handler) as url:
        await turn_of(system(url, "openai/gpt-5", drop_unsupported=True))
    assert "temperature" not in seen
    assert seen["max_completion_tokens"] == 64


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("openai/gpt-4.1", {}, "OPENAI_API_KEY is not set"),
        ("gemini/gemini-2.5-pro", {}, "GEMINI_API_KEY or GOOGLE_API_KEY is not set"),
        ("openai/gpt-4.1", {"api_key_env": "NOT_SET"}, "NOT_SET is not set"),
        ("openai/gpt-4.1", {"api_key": SECRET}, "Did you mean api_key_env?"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    model: str, options: dict[str, Any], said: str
) -> None:
    refusal = ApiEngine().refuse(system(model=model, **options))
    assert said in refusal
    assert SECRET not in refusal


async def test_a_name_that_no_provider_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="knows no provider"):
        await turn_of(system(model="no-such-model-anywhere"))


def test_without_litellm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    assert "pip install 'qbench[api]'" in ApiEngine().refuse(system("http://host/v1"))


def test_refusing_does_not_import_litellm() -> None:
    code = (
        "import sys\n"
        "from qbench.workers.engines.api import ApiEngine\n"
        "from qbench.service.domain import System\n"
        "ApiEngine().refuse(System(model='openai/x', format='native', engine='api'))\n"
        "assert 'litellm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
