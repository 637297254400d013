"""The embedded engine as its clients see it: a real process, real HTTP."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import openai
import pytest

from qbench.benchmarks.chat import ChatRequest, Message, Sampling, ToolSpec
from qbench.errors import ContextTooLong, EngineStartError
from qbench.service.domain import System
from qbench.workers.engines.embedded import EmbeddedEngine, EmbeddedServing
from tests.tiny_model import save_tiny_model

TOOL = ToolSpec(
    name="add_event",
    description="Add an event.",
    parameters={
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 8},
            "day": {"enum": ["Mon", "Tue"]},
        },
        "required": ["title", "day"],
        "additionalProperties": False,
    },
)
OTHER = ToolSpec(name="ring", description="Ring.", parameters={"type": "object", "properties": {}})


def quiet(_line: str) -> None:
    """Hear nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), context=1024)


@pytest.fixture
async def serving(folder: Path) -> AsyncIterator[EmbeddedServing]:
    system = System(
        model=str(folder), format="w8a8", engine="embedded", options={"threads": 1, "device": "cpu"}
    )
    assert not EmbeddedEngine().refuse(system)
    async with EmbeddedEngine().serve(system, concurrency=4, say=quiet) as served:
        yield served


def asked(text: str, **more: Any) -> ChatRequest:
    sampling = more.pop("sampling", Sampling(max_tokens=24))
    return ChatRequest(messages=(Message(role="user", content=text),), sampling=sampling, **more)


async def test_a_served_model_tells_what_really_runs_and_keeps_to_grammars(
    serving: EmbeddedServing,
) -> None:
    endpoint = serving.endpoint
    assert (endpoint.format_requested, endpoint.format_effective) == ("w8a8", "w8a8, rtn")
    assert endpoint.path == "emulated"
    assert endpoint.kernel.startswith("dequantize")
    assert endpoint.seconds.load > 0
    assert 8 < endpoint.details["bits_per_weight"] < 9

    due: dict[str, Any] = {"tools": (TOOL, OTHER), "tool_choice": "required"}
    turns = await asyncio.gather(
        *(serving.chat.reply(asked(f"Question {n}?")) for n in range(6)),
        *(
            serving.chat.reply(asked(f"Do {n}.", sampling=Sampling(max_tokens=200), **due))
            for n in range(6)
        ),
    )
    for turn in turns[6:]:
        (call,) = turn.message.tool_calls
        arguments = json.loads(call.arguments)
        assert call.name in ("add_event", "ring")
        if call.name == "add_event":
            assert arguments["day"] in ("Mon", "Tue")
            assert set(arguments) == {"title", "day"}
        assert turn.finish_reason == "tool_calls"
    assert all(turn.usage and turn.usage.prompt_tokens > 0 for turn in turns)
    assert any(turn.usage and turn.usage.cached_tokens > 0 for turn in turns)
    spent = await serving.seconds()
    assert spent.busy > 0
    assert spent.prefill is not None
    assert spent.decode is not None

    with pytest.raises(ContextTooLong):
        await serving.chat.reply(asked("long " * 1000))
    await _speaks_openai(endpoint.base_url, endpoint.served_name)
    await _refuses_nonsense(endpoint.base_url, endpoint.served_name)
    await _tells_log_probabilities(endpoint.base_url, endpoint.served_name)
    await _survives_a_client_that_leaves(endpoint.base_url, endpoint.served_name)


async def _speaks_openai(base_url: str, model: str) -> None:
    client: Any
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="none") as client:
        listed = [entry.id async for entry in client.models.list()]
        assert listed == [model]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {"n": {"type": "integer", "maximum": 99}},
        }
        schema |= {"required": ["n"], "additionalProperties": False}
        whole = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "A number, please."}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "number", "schema": schema},
            },
            temperature=0,
            max_tokens=40,
        )
        if whole.choices[0].finish_reason == "stop":
            assert isinstance(json.loads(whole.choices[0].message.content or "")["n"], int)
        plain: Any = {"model": model, "temperature": 0, "max_tokens": 16}
        plain |= {"messages": [{"role": "user", "content": "Say something."}]}
        said = (await client.chat.completions.create(**plain)).choices[0].message.content or ""
        options = {"include_usage": True}
        stream = await client.chat.completions.create(**plain, stream=True, stream_options=options)
        pieces, usage = [], None
        async for chunk in stream:
            usage = chunk.usage or usage
            pieces += [choice.delta.content or "" for choice in chunk.choices]
        assert "".join(pieces) == said
        assert usage is not None
        assert usage.completion_tokens <= 16


async def _refuses_nonsense(base_url: str, model: str) -> None:
    user = {"role": "user", "content": "Hi"}
    cases: list[tuple[Any, int, str]] = [
        ({"model": "other", "messages": [user]}, 404, "model_not_found"),
        ({"model": model, "messages": []}, 400, "bad_messages"),
        ({"model": model, "messages": [user], "n": 3}, 400, "unsupported"),
        ({"model": model, "messages": [user], "tool_choice": "required"}, 400, "bad_tool_choice"),
        ({"model": model, "messages": [user], "temperature": "hot"}, 400, "bad_request"),
        (
            {"model": model, "messages": [user], "response_format": {"type": "json_schema"}},
            400,
            "bad_schema",
        ),
    ]
    async with aiohttp.ClientSession() as session:
        for body, status, code in cases:
            async with session.post(f"{base_url}/v1/chat/completions", json=body) as response:
                assert response.status == status, body
                assert (await response.json())["error"]["code"] == code
        async with session.post(f"{base_url}/v1/chat/completions", data=b"{") as response:
            assert response.status == 400


async def _tells_log_probabilities(base_url: str, model: str) -> None:
    """The text, its tokens, and both spellings of their log-probabilities say the same."""
    client: Any
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="none") as client:
        plain: Any = {"model": model, "prompt": "One, two,", "temperature": 0, "max_tokens": 6}
        extra = {"prompt_logprobs": 4, "return_token_ids": True}
        echoed = await client.completions.create(**plain, echo=True, logprobs=4, extra_body=extra)
        choice = echoed.choices[0]
        told, tokens = choice.logprobs, [*choice.prompt_token_ids, *choice.token_ids]
        assert "".join(told.tokens).removesuffix("<|im_end|>") == choice.text
        assert len(told.token_logprobs) == len(tokens)
        assert told.token_logprobs[0] is None
        assert told.text_offset[:3] == [0, 1, 2]
        for token, value, entry in zip(
            tokens[1:], told.token_logprobs[1:], choice.prompt_logprobs[1:], strict=False
        ):
            assert entry[str(token)]["logprob"] == value <= 0
            assert 4 <= len(entry) <= 5
        alone = await client.completions.create(**plain | {"prompt": tokens[:9]}, logprobs=0)
        assert alone.choices[0].text == choice.text[9:]
        assert alone.choices[0].logprobs.token_logprobs == pytest.approx(
            told.token_logprobs[9:], abs=0.05
        )
        several = await client.completions.create(**plain | {"prompt": ["One, two,", "Three"]})
        assert several.choices[0].text == choice.text[9:]
        nothing: Any = plain | {"max_tokens": 0, "echo": True, "logprobs": 64}
        by_id = {"return_tokens_as_token_ids": True}
        scored = (await client.completions.create(**nothing, extra_body=by_id)).choices[0]
        assert scored.text == "One, two,"
        assert 64 <= len(scored.logprobs.top_logprobs[1]) <= 65
        stopped = await client.completions.create(**plain, stop=choice.text[11:13])
        assert stopped.choices[0].text == choice.text[9:11]
    wrong: list[Any] = [{"prompt": ""}, {"prompt": [10**6]}, {"prompt": "x", "n": 2}]
    wrong += [{"prompt": "x", "logprobs": -1}, {"prompt": "x" * 5000}, {"prompt": [[]]}]
    async with aiohttp.ClientSession() as session:
        for body in wrong:
            async with session.post(f"{base_url}/v1/completions", json=body) as response:
                assert response.status == 400, body


async def _survives_a_client_that_leaves(base_url: str, model: str) -> None:
    text = {"type": "string", "minLength": 800}  # 800 steps: no model may end sooner
    schema = {"type": "object", "properties": {"text": text}, "required": ["text"]}
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Go"}],
        "max_tokens": 900,
        "response_format": {"type": "json_schema", "json_schema": {"name": "t", "schema": schema}},
    }
    timeout = aiohttp.ClientTimeout(total=0.2)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            await session.post(f"{base_url}/v1/chat/completions", json=body)
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            async with session.get(f"{base_url}/metrics.json") as response:
                if (await response.json())["running"] == 0:
                    return
            await asyncio.sleep(0.05)
    pytest.fail("the generation of a client that left goes on")


async def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    system = System(model=str(tmp_path), format="bf16", engine="embedded")
    with pytest.raises(EngineStartError, match=r"config\.json"):
        async with EmbeddedEngine().serve(system, concurrency=1, say=quiet):
            pass


def test_what_cannot_run_is_refused_before_anything_starts() -> None:
    engine = EmbeddedEngine()
    assert "Did you mean" in engine.refuse(System(model="m", format="w4a61", engine="embedded"))
    wrong = System(model="m", format="bf16", engine="embedded", options={"thread": 2})
    assert "Did you mean threads" in engine.refuse(wrong)
    rotated = System(model="m", format="mxfp4-mr", engine="embedded")
    awq = System(model="m", format="mxfp4", engine="embedded", options={"recipe": "awq"})
    assert "recipe=rtn" in engine.refuse(awq)
    assert not engine.refuse(rotated)
    assert not engine.refuse(msgspec.structs.replace(rotated, options={"recipe": "rtn"}))
    assert sys.executable
