"""The gateway over a real socket: the official client, real engines, litellm on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from qbench.service.access import LOCAL
from qbench.service.api.app import create_app
from qbench.service.authentication import Authenticator
from qbench.service.desk import Desk
from qbench.service.gateway.routes import gateway_router
from qbench.service.keys import KeyOrder, issue
from qbench.service.pricebook import read_prices
from qbench.service.rates import Rates
from qbench.service.store import Store
from qbench.workers.gateway_engines import GatewayEngines, GatewaySettings
from qbench.workers.mock_endpoint import MockEndpoint, MockSettings
from tests.integration.api import Bell, serving
from tests.integration.endpoints import listening
from tests.tiny_model import save_tiny_model

HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
]
DEVICES = ("here/cpu0",)
LITELLM = pytest.mark.filterwarnings("ignore")
"""litellm warns about its own code."""


@dataclass
class Gateway:
    url: str
    store: Store
    engines: GatewayEngines
    folder: Path

    def client(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=120)

    def key(self, **order: Any) -> tuple[openai.OpenAI, str]:
        made = issue(self.store, KeyOrder(name="tester", scope="run", **order), LOCAL)
        return self.client(made.secret), made.key.id

    @property
    def model(self) -> str:
        return f"{self.folder.name}@fp8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), context=8192)


@pytest.fixture
def gateway(url: str, folder: Path) -> Iterator[Gateway]:
    with opened(url, folder) as made:
        yield made


@contextlib.contextmanager
def opened(url: str, folder: Path, **settings: Any) -> Iterator[Gateway]:
    with Store.open(url) as store:
        known = GatewaySettings(models=(str(folder),), wait_s=1.0, **settings)
        engines = GatewayEngines(store, read_prices({}), DEVICES, known)

        @contextlib.asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with engines.open():
                yield

        app = create_app(
            store,
            Desk(store, Bell()),
            read_prices({}),
            authenticate=Authenticator(store, Rates(), open_to_local=True),
            routers=(gateway_router(store, engines),),
            lifespan=lifespan,
        )
        with serving(app) as base:
            yield Gateway(base, store, engines, folder)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockEndpoint]:
    """Stand in for a provider that litellm calls."""
    endpoint = MockEndpoint(MockSettings(reply="echo", output_tokens=8))
    with aiohttp_server(endpoint) as base:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{base}/v1")
        monkeypatch.setenv("OPENAI_API_BASE", f"{base}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody-1234567890")
        yield endpoint


@contextlib.contextmanager
def aiohttp_server(endpoint: MockEndpoint) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    told: list[str] = []

    async def live() -> None:
        async with listening(endpoint.app()) as root:
            told.append(root)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    ready.wait(10)
    try:
        yield told[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def check_books(gateway: Gateway) -> None:
    """The ledger has a line for each call, and a key's spending is the sum of its lines."""
    calls = {call.id: call for call in gateway.store.calls(limit=1000)}
    lines = [line for line in gateway.store.gateway_lines() if line.call_id]
    assert {line.call_id for line in lines} <= set(calls)
    for key in gateway.store.keys():  # noqa: SIM118 - no mapping
        mine = [x.dollars for x in lines if calls[x.call_id].key_id == key.id and x.dollars]
        assert gateway.store.api_key(key.id).spent == sum(mine, Decimal(0))


def eventually(condition: Any, limit_s: float = 15) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_local_model_is_started_asked_and_metered(gateway: Gateway) -> None:
    client, key = gateway.key()
    assert gateway.model in {model.id for model in client.models.list()}
    whole = client.chat.completions.create(
        model=gateway.model, messages=HELLO, max_tokens=12, temperature=0
    )
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0
    chunks = list(
        client.chat.completions.create(
            model=gateway.model,
            messages=HELLO,
            max_tokens=12,
            temperature=0,  # as long as the whole one
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    quiet = list(
        client.chat.completions.create(
            model=gateway.model, messages=HELLO, max_tokens=12, stream=True
        )
    )
    assert all(chunk.choices for chunk in quiet)
    eventually(lambda: len(gateway.store.calls()) == 3)
    calls = gateway.store.calls()
    assert {call.key_id for call in calls} == {key}
    assert all(call.usage and call.busy_s and call.status == 200 for call in calls)
    assert len({call.endpoint_id for call in calls}) == 1
    assert gateway.store.api_key(key).spent > 0
    check_books(gateway)


def test_forced_tools_and_schemas_pass_through(gateway: Gateway) -> None:
    client, _ = gateway.key()
    made = client.chat.completions.create(
        model=gateway.model,
        messages=HELLO,
        tools=TOOLS,
        tool_choice="required",
        max_tokens=200,
    )
    calls = made.choices[0].message.tool_calls
    if made.choices[0].finish_reason == "tool_calls":
        assert calls
        assert calls[0].type == "function"
        assert calls[0].function.name == "add"


def test_many_calls_share_one_engine(gateway: Gateway) -> None:
    client, _ = gateway.key()
    client.chat.completions.create(model=gateway.model, messages=HELLO, max_tokens=4)

    async def ask_all() -> None:
        base, key = f"{gateway.url}/v1", client.api_key
        async with openai.AsyncOpenAI(base_url=base, api_key=key, max_retries=0) as many:
            ask = many.chat.completions.create
            asked = [ask(model=gateway.model, messages=HELLO, max_tokens=8) for _ in range(12)]
            assert len(await asyncio.gather(*asked)) == 12

    asyncio.run(ask_all())
    eventually(lambda: len(gateway.store.calls()) == 13)
    assert len({call.endpoint_id for call in gateway.store.calls()}) == 1
    check_books(gateway)


def test_an_idle_engine_is_stopped_and_billed(url: str, folder: Path) -> None:
    with opened(url, folder, idle_s=0.0) as gateway:
        client, _ = gateway.key()
        client.chat.completions.create(model=gateway.model, messages=HELLO, max_tokens=4)
        eventually(lambda: any(x.basis == "dedicated" for x in gateway.store.gateway_lines()))
        eventually(lambda: gateway.store.devices() == {})
        (bill,) = [x for x in gateway.store.gateway_lines() if x.basis == "dedicated"]
        (call,) = gateway.store.calls()
        assert bill.endpoint_id == call.endpoint_id
        assert bill.seconds is not None
        assert call.busy_s is not None
        assert bill.seconds > call.busy_s


def test_another_model_takes_the_place_of_an_idle_one(gateway: Gateway) -> None:
    client, _ = gateway.key()
    for fmt in ("fp8", "bf16", "fp8"):
        name = f"{gateway.folder.name}@{fmt}"
        client.chat.completions.create(model=name, messages=HELLO, max_tokens=4)
    assert len({call.endpoint_id for call in gateway.store.calls()}) == 3


def test_a_device_that_others_use_is_waited_for_and_then_refused(gateway: Gateway) -> None:
    client, _ = gateway.key()
    assert gateway.store.take_devices(DEVICES, 1, "run m123")
    with pytest.raises(openai.InternalServerError, match="run m123") as refused:
        client.chat.completions.create(model=gateway.model, messages=HELLO)
    assert refused.value.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "10"


def test_an_engine_killed_in_the_middle_is_told_and_booked(gateway: Gateway) -> None:
    client, _ = gateway.key()
    stream = client.chat.completions.create(
        model=gateway.model, messages=HELLO, max_tokens=8000, stream=True
    )
    next(iter(stream))
    (running,) = gateway.engines._running.values()
    port = running.endpoint.base_url.rpartition(":")[2]
    os.system(f"pkill -KILL -f -- '--port {port}'")  # noqa: S605 - a number
    with pytest.raises(openai.APIError, match="went away"):
        list(stream)
    eventually(lambda: [call.status for call in gateway.store.calls()] == [502])
    check_books(gateway)


def test_a_client_that_leaves_is_booked(gateway: Gateway) -> None:
    client, _ = gateway.key()
    stream = client.chat.completions.create(
        model=gateway.model, messages=HELLO, max_tokens=8000, stream=True
    )
    next(iter(stream))
    stream.close()
    eventually(lambda: [call.status for call in gateway.store.calls()] == [499])
    eventually(lambda: all(not one.users for one in gateway.engines._running.values()))


def test_mistakes_have_openais_shape(gateway: Gateway) -> None:
    client, _ = gateway.key()
    with pytest.raises(openai.NotFoundError, match="Did you mean"):
        client.chat.completions.create(model=f"{gateway.folder.name}@fp9", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        gateway.client("qb_" + "x" * 43).chat.completions.create(
            model=gateway.model, messages=HELLO
        )
    with pytest.raises(openai.BadRequestError, match="n=1"):
        client.chat.completions.create(model=gateway.model, messages=HELLO, n=3)
    answer = httpx.post(
        f"{gateway.url}/v1/chat/completions",
        content=b"no json",
        headers={"Authorization": f"Bearer {client.api_key}"},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"


@LITELLM
def test_an_api_model_is_asked_through_litellm(gateway: Gateway, provider: MockEndpoint) -> None:
    del provider
    client, key = gateway.key(budget=Decimal("0.01"))
    name = "openai/gpt-4.1-mini"
    whole = client.chat.completions.create(model=name, messages=HELLO)
    assert whole.choices[0].message.content
    chunks = list(client.chat.completions.create(model=name, messages=HELLO, stream=True))
    assert any(chunk.choices and chunk.choices[0].delta.content for chunk in chunks)
    eventually(lambda: len(gateway.store.calls()) == 2)
    calls = gateway.store.calls()
    assert all(call.usage is not None and call.endpoint_id is None for call in calls)
    lines = gateway.store.gateway_lines()
    assert {line.basis for line in lines} == {"api"}
    assert all(line.dollars and line.price_id for line in lines)
    assert gateway.store.api_key(key).spent > 0
    check_books(gateway)


@LITELLM
def test_a_key_whose_budget_is_spent_is_refused(gateway: Gateway, provider: MockEndpoint) -> None:
    del provider
    client, key = gateway.key(budget=Decimal("0.0000001"))
    client.chat.completions.create(model="openai/gpt-4.1-mini", messages=HELLO)
    with pytest.raises(openai.APIStatusError, match="budget") as refused:
        client.chat.completions.create(model="openai/gpt-4.1-mini", messages=HELLO)
    assert refused.value.status_code == 402
    with pytest.raises(openai.APIStatusError, match="no price"):
        unpriced, _ = gateway.key(budget=Decimal(1))
        unpriced.chat.completions.create(model="openai/nobody-knows-it", messages=HELLO)
    assert gateway.store.api_key(key).left is not None


@LITELLM
def test_usage_is_told_by_key_and_model(gateway: Gateway, provider: MockEndpoint) -> None:
    del provider
    client, key = gateway.key()
    for _ in range(3):
        client.chat.completions.create(model="openai/gpt-4.1-mini", messages=HELLO)
    found = httpx.get(
        f"{gateway.url}/v1/gateway/usage", headers={"Authorization": f"Bearer {client.api_key}"}
    ).json()["usage"]
    (mine,) = [row for row in found if row["key_id"] == key]
    assert (mine["calls"], mine["failed"], mine["unpriced"]) == (3, 0, 0)
    assert Decimal(mine["dollars"]) == gateway.store.api_key(key).spent
