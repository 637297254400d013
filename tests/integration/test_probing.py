"""Fidelity from an endpoint's answer to the report, over HTTP and both databases."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from qbench.benchmarks.probe import probe_text
from qbench.errors import EngineError
from qbench.service.domain import Controls, Endpoint, System, new_id
from qbench.service.fidelity import fidelity_of
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.store import Store
from qbench.workers.engines.process import free_port
from qbench.workers.probing import measure, probe_session


def tokens_of(text: str) -> list[int]:
    return [sum(word.encode()) % 97 for word in text.split()]


def answer(prompt: str, sharpness: float) -> dict[str, Any]:
    """Tell three tokens a position; ``sharpness`` moves probability to the first."""
    tokens = tokens_of(prompt)
    top = {
        f"token_id:{token}": math.log(share)
        for token, share in zip((1, 2, 3), (0.5 + sharpness, 0.3 - sharpness, 0.1), strict=True)
    }
    return {
        "choices": [
            {
                "logprobs": {
                    "tokens": [f"token_id:{token}" for token in [*tokens, 5]],
                    "token_logprobs": [None] + [math.log(0.1)] * len(tokens),
                    "top_logprobs": [None] + [top] * len(tokens),
                }
            }
        ]
    }


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Serve /v1/completions; the model's name says how sharp its distributions are."""

    async def completions(request: web.Request) -> web.Response:
        body = await request.json()
        if body["model"] == "mute":
            return web.json_response({"error": "no logprobs here"}, status=400)
        if body["model"] == "odd":
            return web.json_response({"choices": [{"text": "hello"}]})
        assert body["echo"]
        assert body["logprobs"] == 64
        return web.json_response(answer(body["prompt"], float(body["model"])))

    app = web.Application()
    app.router.add_post("/v1/completions", completions)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


def endpoint(url: str, system: System, run_id: str, name: str) -> Endpoint:
    return Endpoint(
        id=new_id(),
        run_id=run_id,
        engine_key=system.engine_key,
        base_url=url,
        served_name=name,
        started_at=datetime.now(UTC),
    )


async def test_a_reply_becomes_columns(server: str) -> None:
    system = System(model="m", format="bf16", engine="embedded")
    found = await measure(endpoint(f"{server}/v1", system, "", "0.0"), probe_text(), at_once=True)
    words = [len(passage.split()) for passage in probe_text().passages]
    assert len(found.token) == sum(words) - len(words)  # a passage's first token has none
    assert found.token[0] == tokens_of(probe_text().passages[0])[1]
    assert found.top[0].tolist() == [1, 2, 3]
    assert found.top_logprob[0] == pytest.approx([math.log(x) for x in (0.5, 0.3, 0.1)])


@pytest.mark.parametrize("name", ["mute", "odd"])
async def test_endpoints_that_tell_nothing_are_said_so(server: str, name: str) -> None:
    system = System(model="m", format="bf16", engine="embedded")
    with pytest.raises(EngineError, match="log-prob"):
        await measure(endpoint(server, system, "", name), probe_text(), at_once=False)


async def test_fidelity_from_endpoint_to_report(server: str, url: str) -> None:
    request = to_request(Order(suite="sums", formats=("fp8", "w4a16"), models=("some/model",)))
    plan = make_plan(request, Controls(), now=datetime.now(UTC))
    said: list[str] = []
    with Store.open(url) as store:
        store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
        systems = {system.format: system for system in request.systems}
        for name, sharpness in (("bf16", "0.0"), ("fp8", "0.01"), ("w4a16", "mute")):
            up = endpoint(server, systems[name], plan.run.id, sharpness)
            store.open_endpoint(up, healthy=True)
            for _ in range(2):  # the second time there is nothing to do
                await probe_session(
                    store, plan.run.id, up, systems[name], floor=name == "bf16", say=said.append
                )
        found = fidelity_of(store, plan.run, systems["fp8"])
        assert found is not None
        worked = 0.5 * math.log(0.5 / 0.51) + 0.3 * math.log(0.3 / 0.29)
        assert found.kl.value == pytest.approx(worked, rel=1e-3)
        assert found.top1_agreement.value == 1
        assert found.perplexity.value == pytest.approx(10, rel=1e-6)
        assert found.kl_floor == pytest.approx(0, abs=1e-9)
        assert found.text == probe_text().digest
        assert fidelity_of(store, plan.run, systems["w4a16"]) is None
        assert len(store.probes(plan.run.id, {systems["bf16"].engine_key})) == 2
    assert any("no fidelity for model w4a16" in line for line in said)


async def test_engines_that_cannot_tell_are_not_asked(url: str) -> None:
    system = System(model="m", format="bf16", engine="scripted")
    up = replace(endpoint("http://127.0.0.1:9", system, "", "m"), run_id="none")
    with Store.open(url) as store:
        await probe_session(store, "none", up, system, floor=True, say=pytest.fail)
        assert store.probes("none", {system.engine_key}) == ()
