"""Profiles measured for real: the embedded engine, and endpoints that do not do as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from qbench.errors import ConfigError, EngineError, EngineReplyInvalid
from qbench.service.domain import System
from qbench.service.pricebook import read_prices
from qbench.service.profiles import Profile
from qbench.service.reports.efficiency.profiles import profiles_report
from qbench.workers.engines.process import free_port
from qbench.workers.profiling import Plan, profiles
from tests.tiny_model import save_tiny_model

SMALL = Plan(prompts=(4, 32), outputs=(1, 3, 6), repeats=2)


def quiet(_line: str) -> None:
    """Hear nothing."""


async def profile(system: System, plan: Plan) -> Profile:
    (made,) = await profiles([system], plan, quiet)
    return made


async def test_a_real_model_from_start_to_report(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tiny", context=256)
    options = {"threads": 1, "device": "cpu"}
    systems = [
        System(model=str(folder), format=name, engine="embedded", options=options)
        for name in ("bf16", "w8a8")
    ]
    plan = Plan(prompts=(4, 32), outputs=(1, 6, 24), repeats=2, streams=2)
    first, made = await profiles(systems, plan, quiet)
    shapes = sorted((one.prompt, one.output) for one in made.timings)
    assert shapes == sorted([(p, o) for p in (4, 32) for o in (1, 6, 24)] * 2)
    assert made.discarded == ()
    assert all(one.seconds > 0 for one in made.timings)
    assert {(one.prompt, one.output) for one in made.busy} == {(4, 6), (4, 24), (32, 6), (32, 24)}
    assert all(one.queries == 4 for one in made.busy)
    assert made.engine_key == systems[1].engine_key
    assert made.hardware.startswith("cpu-")
    assert (made.hidden, made.layers, made.path) == (64, 3, "emulated")
    assert made.weight_bytes
    assert made.consumption.samples
    assert made.session == first.session
    for one in (first, made):
        assert one.consumption.memory_mean is None or one.consumption.memory_mean > 2**20
    other, row = profiles_report([first, made], read_prices({})).rows
    assert other.fitted.points != row.fitted.points
    assert row.reduction is not None
    assert row.reduction.in_turn
    assert len(row.fitted.points) == 6
    assert row.cases[0].asynchronous is not None


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Serve /v1/completions in a way that the model's name chooses."""
    asked: dict[str, int] = {}

    async def models(_: web.Request) -> web.Response:
        names = ("exact", "short", "cache", "miscounts", "mute", "refuses", "cache-once")
        return web.json_response({"data": [{"id": name} for name in names]})

    async def completions(request: web.Request) -> web.Response:
        body = await request.json()
        name = body["model"]
        asked[name] = asked.get(name, 0) + 1
        if name == "refuses":
            return web.json_response({"error": "texts only"}, status=400)
        if name == "mute":
            return web.json_response({"choices": []})
        assert body["ignore_eos"]
        await asyncio.sleep(0.005 * body["max_tokens"])
        assert all(10 <= token < 250 for token in body["prompt"])
        usage: dict[str, Any] = {
            "prompt_tokens": len(body["prompt"]) + (name == "miscounts"),
            "completion_tokens": min(2, body["max_tokens"])
            if name == "short"
            else body["max_tokens"],
        }
        if name == "cache" or (name == "cache-once" and asked[name] % 2):
            usage["prompt_tokens_details"] = {"cached_tokens": 3}
        return web.json_response({"choices": [], "usage": usage})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/completions", completions)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


def external(server: str, name: str) -> System:
    return System(model=name, format="native", engine="external", base_url=server)


@pytest.mark.parametrize("name", ["exact", "cache-once"])
async def test_somebody_elses_endpoint_is_measured(server: str, name: str) -> None:
    made = await profile(external(server, name), SMALL)
    assert len(made.timings) == 12
    assert made.discarded == ()
    assert made.consumption.unknown["memory"] == "the engine runs elsewhere"
    assert made.hardware == ""
    (row,) = profiles_report([made], read_prices({})).rows
    assert row.per_hour is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("short", "stopped after 2 of 3 tokens"),
        ("cache", "cache served 3"),
        ("miscounts", "counted 5 prompt tokens"),
    ],
)
async def test_other_counts_are_discarded_and_said(server: str, name: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        await profile(external(server, name), SMALL)


async def test_an_endpoint_without_exact_lengths_is_refused(server: str) -> None:
    with pytest.raises(EngineError, match="token ids"):
        await profile(external(server, "refuses"), SMALL)
    with pytest.raises(EngineReplyInvalid, match="usage"):
        await profile(external(server, "mute"), SMALL)
    with pytest.raises(ConfigError, match="URL"):
        await profile(System(model="m", format="native", engine="external"), SMALL)
