"""The external engine against real servers on loopback ports."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from qbench.errors import ConfigError, EngineStartError
from qbench.service.domain import System
from qbench.workers.engines import load_engine
from qbench.workers.engines.external import ExternalEngine
from qbench.workers.engines.process import free_port
from qbench.workers.limiter import AdaptiveLimit, FixedLimit
from tests.integration.endpoints import ask, listening, mock


def system(url: str, model: str = "mock", **options: Any) -> System:
    return System(model=model, format="native", engine="external", base_url=url, options=options)


async def answer(told: System, prompt: str = "hello") -> str:
    async with ExternalEngine().serve(told, concurrency=4, say=print) as serving:
        return (await serving.chat.reply(ask(prompt))).message.content


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QBENCH_API_KEY", raising=False)


async def test_an_endpoint_is_described_measured_and_streamed_by_default() -> None:
    said: list[str] = []
    async with mock() as (url, _):
        told = system(url)
        async with load_engine("external").serve(told, concurrency=4, say=said.append) as serving:
            turn = await serving.chat.reply(ask())
            seconds = await serving.seconds()
    assert turn.message.content == "hello"
    assert turn.timing.ttft_s is not None
    assert seconds.load == 0
    assert seconds.busy > 0
    endpoint = serving.endpoint
    assert (endpoint.base_url, endpoint.served_name) == (url, "mock")
    assert (endpoint.hardware, endpoint.path, endpoint.run_id) == ("", "unknown", "")
    assert endpoint.engine_version == "qbench"
    assert endpoint.engine_key == told.engine_key
    assert said == [f"{url} serves mock (qbench)"]


async def test_streaming_can_be_switched_off() -> None:
    async with (
        mock() as (url, _),
        ExternalEngine().serve(system(url, stream=False), concurrency=4, say=print) as serving,
    ):
        assert (await serving.chat.reply(ask())).timing.ttft_s is None


async def test_the_servers_parser_is_judged_where_that_was_asked_for() -> None:
    reply = {"*": [{"call": "add", "arguments": {"a": 1, "b": 2}}]}
    async with mock(reply=reply, calls="text") as (url, endpoint):
        async with ExternalEngine().serve(system(url), concurrency=4, say=print) as serving:
            assert endpoint.requests == 0
            assert "preflight" not in serving.endpoint.details
        with pytest.raises(EngineStartError, match="does not see the calls") as caught:
            await answer(system(url, preflight=True))
    assert "Start the server with the parser" in caught.value.hint
    async with mock(reply=reply) as (url, _):
        told = system(url, preflight=True)
        async with ExternalEngine().serve(told, concurrency=4, say=print) as serving:
            assert serving.endpoint.details["preflight"]["finding"] == "sees calls"


async def test_the_machine_behind_the_url_is_what_the_user_says() -> None:
    async with (
        mock() as (url, _),
        ExternalEngine().serve(
            system(url, hardware="h100-sxm", devices=2), concurrency=4, say=print
        ) as serving,
    ):
        assert (serving.endpoint.hardware, serving.endpoint.devices) == ("h100-sxm", 2)


async def test_the_limit_follows_the_endpoint_up_to_the_concurrency() -> None:
    async with mock() as (url, _):
        async with ExternalEngine().serve(system(url), concurrency=3, say=print) as serving:
            policy = serving.chat.gate.policy  # type: ignore[attr-defined]  # of OpenAIChat
            assert isinstance(policy, AdaptiveLimit)
            assert policy.limit == 3
        fixed = system(url, adaptive=False)
        async with ExternalEngine().serve(fixed, concurrency=64, say=print) as serving:
            policy = serving.chat.gate.policy  # type: ignore[attr-defined]  # of OpenAIChat
            assert isinstance(policy, FixedLimit)
            assert policy.limit == 64


async def test_a_model_that_is_not_listed_is_refused_with_those_that_are() -> None:
    async with mock(model="qwen2.5-7b") as (url, _):
        with pytest.raises(EngineStartError, match=r"Did you mean qwen2\.5-7b\?"):
            await answer(system(url, "qwen2.5-8b"))
        assert await answer(system(url, "other", served_name="qwen2.5-7b")) == "hello"
        assert await answer(system(url, "other", unlisted=True)) == "hello"


def vllm_like(version: str = "0.26.0") -> web.Application:
    async def models(_: web.Request) -> web.Response:
        card = {"id": "m", "root": "org/model", "owned_by": "vllm", "max_model_len": 4096}
        return web.json_response({"object": "list", "data": [card]})

    async def told(_: web.Request) -> web.Response:
        return web.json_response({"version": version})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    app.router.add_get("/version", told)
    return app


async def test_a_server_that_tells_more_is_recorded_and_found_by_what_it_loaded() -> None:
    async with (
        listening(vllm_like()) as root,
        ExternalEngine().serve(
            system(f"{root}/v1", "org/model"), concurrency=4, say=print
        ) as serving,
    ):
        assert serving.endpoint.served_name == "m"
        assert serving.endpoint.engine_version == "vllm 0.26.0"
        assert serving.endpoint.details["root"] == "org/model"
        assert serving.endpoint.details["max_model_len"] == 4096


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_a_list_of_models_is_fine(status: int) -> None:
    async def absent(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/v1/models", absent)
    async with (
        listening(app) as root,
        ExternalEngine().serve(system(f"{root}/v1", "any"), concurrency=4, say=print) as serving,
    ):
        assert serving.endpoint.served_name == "any"


async def test_a_list_that_is_none_is_as_good_as_absent() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>")

    app = web.Application()
    app.router.add_get("/v1/models", page)
    async with (
        listening(app) as root,
        ExternalEngine().serve(system(f"{root}/v1", "any"), concurrency=4, say=print) as serving,
    ):
        assert serving.endpoint.served_name == "any"


def guarded(key: str) -> web.Application:
    async def models(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if given != f"Bearer {key}":
            return web.json_response({"error": {"message": f"bad key {given}"}}, status=401)
        return web.json_response({"data": [{"id": "mock"}]})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    return app


async def test_a_key_comes_from_the_environment_and_a_wrong_one_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(guarded("sk-right")) as root:
        told = system(f"{root}/v1")
        with pytest.raises(EngineStartError, match="no key was sent; set QBENCH_API_KEY"):
            await answer(told)
        monkeypatch.setenv("QBENCH_API_KEY", "sk-wrong")
        with pytest.raises(EngineStartError, match="the key in QBENCH_API_KEY is not") as caught:
            await answer(told)
        assert "sk-wrong" not in str(caught.value)
        monkeypatch.setenv("MY_KEY", "sk-right")
        named = system(f"{root}/v1", api_key_env="MY_KEY")
        said: list[str] = []
        async with ExternalEngine().serve(named, concurrency=4, say=said.append) as serving:
            assert "sk-right" not in repr((serving.endpoint, named, said, serving.chat))


async def test_a_server_that_is_ill_or_absent_is_told_at_the_start() -> None:
    async def loading(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "loading model"}}, status=503)

    app = web.Application()
    app.router.add_get("/v1/models", loading)
    async with listening(app) as root:
        with pytest.raises(EngineStartError, match="HTTP 503: loading model"):
            await answer(system(f"{root}/v1"))
    with pytest.raises(EngineStartError, match="Nothing answers at"):
        await answer(system(f"http://127.0.0.1:{free_port()}/v1"))


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("", {}, "--base-url"),
        ("localhost:8000/v1", {}, "not an HTTP URL"),
        ("http://[::1", {}, "not an HTTP URL"),
        ("ftp://host/v1", {}, "not an HTTP URL"),
        ("http://me:secret@host/v1", {}, "would be stored"),
        ("http://host/v1?key=secret", {}, "would be stored"),
        ("http://host/v1", {"api_key": "secret"}, "Did you mean api_key_env?"),
        ("http://host/v1", {"api_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE is not set"),
        ("http://host/v1", {"stream": "yes"}, "stream"),
        ("http://host/v1", {"devices": 0}, ">= 1"),
    ],
)
async def test_what_is_missing_is_said_before_anything_is_sent(
    url: str, options: dict[str, Any], said: str
) -> None:
    refusal = ExternalEngine().refuse(system(url, **options))
    assert said in refusal
    assert "secret" not in refusal
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        await answer(system(url, **options))


def test_a_complete_system_is_not_refused() -> None:
    assert ExternalEngine().refuse(system("http://host:8000/v1")) == ""
