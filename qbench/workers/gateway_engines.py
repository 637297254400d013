"""The gateway's models: local engines started on demand and stopped when idle, APIs by litellm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import Busy, EngineStartError, NotFound, QbenchError, StoreError
from qbench.kernels.formats import FORMATS, get_format
from qbench.service.apiprices import installed_litellm, price_lookup
from qbench.service.attribution import PriceAt, session_lines
from qbench.service.catalogue import MODELS, full_name, is_api
from qbench.service.domain import Controls, Endpoint, EngineSeconds, System, new_id
from qbench.service.gateway.backend import Json, LocalEngine
from qbench.service.gateway.calls import Share
from qbench.service.pricebook import PriceBook
from qbench.service.rates import Rates
from qbench.service.store import Store
from qbench.workers.engines import Serving, load_engine
from qbench.workers.engines.process import visible_gpus
from qbench.workers.gateway_api import complete
from qbench.workers.kept import Kept
from qbench.workers.needs import gpu_numbers, needs_of, slots_of
from qbench.workers.tariffs import expected_hardware

logger = logging.getLogger(__name__)

CONTROLS = Controls(concurrency=32)
LOOK_S = 1.0


class GatewaySettings(Struct, frozen=True, kw_only=True):
    """How the gateway keeps local engines."""

    engine: str = "embedded"
    """What serves local models: ``embedded`` or ``vllm``."""
    idle_s: float = 300.0
    """An engine without calls for so long is stopped; at once when a run waits for its device."""
    wait_s: float = 120.0
    """Longest wait for a device."""
    models: tuple[str, ...] = ()
    """Local models to offer beside those known by name."""


@dataclass(kw_only=True)
class Running:
    """One local engine."""

    system: System
    device_token: str
    devices: tuple[str, ...]
    endpoint: Endpoint
    share: Share = field(default_factory=lambda: Share(time.perf_counter))
    kept: Kept[Serving] | None = None
    users: int = 0
    idle_since: float = field(default_factory=time.monotonic)
    healthy_at: float = 0.0
    load_s: float = 0.0

    def seconds(self) -> EngineSeconds:
        """How it spent its life, as the gateway saw it."""
        if not self.healthy_at:
            return EngineSeconds(load=time.perf_counter() - self.load_s)
        up = time.perf_counter() - self.healthy_at
        return EngineSeconds(load=self.load_s, busy=self.share.busy, idle=up - self.share.busy)


class GatewayEngines:
    """Reaches models for the gateway. Open it where the gateway's loop runs."""

    def __init__(
        self,
        store: Store,
        prices: PriceBook,
        devices: tuple[str, ...],
        settings: GatewaySettings = GatewaySettings(),  # noqa: B008 - a frozen value
        *,
        rates: Rates | None = None,
    ) -> None:
        self._store = store
        self._prices = prices
        self._devices = devices
        self._settings = settings
        self._rates = rates or Rates()
        self._running: dict[str, Running] = {}
        self._starting = asyncio.Lock()

    def local_models(self) -> tuple[str, ...]:
        """Return the local models that are offered, as ``model@format``."""
        names = (*MODELS, *self._settings.models)
        return tuple(f"{name.rsplit('/', 1)[-1]}@{fmt}" for name in names for fmt in FORMATS)

    def is_api(self, name: str) -> bool:
        """Whether ``name`` is an API model. Raises NotFound for a name that is neither."""
        if "@" not in name and is_api(name):
            return True
        self.system(name)
        return False

    def system(self, name: str) -> System:
        """Read ``model@format``; the default format is bf16. Raises NotFound."""
        model, _, fmt = name.partition("@")
        known = {*MODELS, *self._settings.models}
        whole = next((k for k in known if model in (k, k.rsplit("/", 1)[-1])), full_name(model))
        if whole not in known:
            offered = [*self.local_models(), "openai/MODEL (an API model)"]
            raise NotFound.among("model", name, offered)
        preset = get_format(fmt or "bf16").name
        return System(model=whole, format=preset, engine=self._settings.engine)

    def price(self, name: str) -> PriceAt:
        """Return how an API model's tokens are priced."""
        return price_lookup(name, self._prices, installed_litellm())

    async def complete(self, name: str, body: Json, *, legacy: bool) -> Json | AsyncIterator[Json]:
        """Ask an API model when it is its provider's turn. Raises EngineError."""
        await self._rates.provider_turn(name.partition("/")[0])
        return await complete(name, body, legacy=legacy)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Watch over the engines while the body runs; stop and bill them at the end."""
        await asyncio.to_thread(self._settle_orphans)
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            for running in list(self._running.values()):
                await self._stop(running)

    @asynccontextmanager
    async def engine(self, name: str) -> AsyncIterator[LocalEngine]:
        """Hold the engine of a local model while the body runs, started if need be.

        Raises:
            NotFound: no such model or format.
            Busy: no device comes free in time.
            EngineStartError: it does not come up.

        """
        running = await self._held(self.system(name))
        try:
            assert running.kept is not None
            await running.kept.value()
            yield self._told(running)
        finally:
            running.users -= 1
            running.idle_since = time.monotonic()

    async def _held(self, system: System) -> Running:
        """Return a running engine with one more user: nobody stops it between."""
        async with self._starting:
            running = self._running.get(system.engine_key)
            if running is not None and running.kept is not None and running.kept.failed:
                await self._stop(running)
                running = None
            if running is None:
                running = await self._start(system)
            running.users += 1
            return running

    async def _start(self, system: System) -> Running:
        why = load_engine(system.engine).refuse(system)
        if why:
            raise EngineStartError(f"{system.label} cannot be served here.", hint=why)
        token, *devices = await self._take(system)
        running = Running(
            system=system,
            device_token=token,
            devices=tuple(devices),
            endpoint=_endpoint(system),
            load_s=time.perf_counter(),
        )
        await asyncio.to_thread(self._store.open_endpoint, running.endpoint, healthy=False)
        running.kept = Kept(self._serving(running))
        self._running[system.engine_key] = running
        return running

    async def _take(self, system: System) -> tuple[str, ...]:
        """Take devices, stopping idle engines for them. Raises Busy."""
        needs = needs_of(system, CONTROLS)
        slots = slots_of(self._devices, needs.kind)
        deadline = time.monotonic() + self._settings.wait_s
        while True:
            take = self._store.take_devices
            taken = await asyncio.to_thread(take, slots, needs.count, f"gateway: {system.label}")
            if taken:
                return taken
            if await self._evict():
                continue
            if time.monotonic() > deadline or len(slots) < needs.count:
                users = ", ".join((await asyncio.to_thread(self._store.devices)).values())
                raise Busy(
                    f"No {needs.kind} is free for {system.label}: {users or 'there is none'}.",
                    hint="Send it again later.",
                )
            await asyncio.sleep(LOOK_S)

    async def _evict(self) -> bool:
        """Stop the engine that was idle longest; False when none is idle."""
        idle = [one for one in self._running.values() if not one.users]
        if not idle:
            return False
        await self._stop(min(idle, key=lambda one: one.idle_since))
        return True

    @asynccontextmanager
    async def _serving(self, running: Running) -> AsyncIterator[Serving]:
        """Start the engine on its devices; what really runs is written down when it is up."""
        system, began = running.system, time.perf_counter()
        with visible_gpus(gpu_numbers(running.devices)):
            served = load_engine(system.engine).serve(
                system, concurrency=CONTROLS.concurrency, say=logger.info
            )
            async with served as serving:
                running.load_s = time.perf_counter() - began
                running.healthy_at = time.perf_counter()
                told = replace(serving.endpoint, id=running.endpoint.id, run_id="")
                running.endpoint = replace(told, started_at=running.endpoint.started_at)
                await asyncio.to_thread(self._store.publish_endpoint, running.endpoint)
                yield serving

    async def _stop(self, running: Running) -> None:
        self._running.pop(running.system.engine_key, None)
        seconds = running.seconds()
        await asyncio.shield(asyncio.to_thread(self._settle, running.endpoint, seconds))
        with contextlib.suppress(QbenchError):
            if running.kept is not None:
                await running.kept.close()
        await asyncio.to_thread(self._store.give_devices, running.device_token)

    def _settle(self, endpoint: Endpoint, seconds: EngineSeconds) -> None:
        """Book the engine's whole life; the calls have their shares of its busy seconds."""
        at = endpoint.started_at
        price = self._prices.machine_price(endpoint.hardware, at, devices=endpoint.devices)
        if price is not None:
            self._store.save_prices({price.id: price})
        lines = [
            line
            for line in session_lines(endpoint.id, seconds, price, at=at)
            if line.basis == "dedicated"
        ]
        self._store.end_session(endpoint.id, seconds, datetime.now(UTC), lines)

    def _settle_orphans(self) -> None:
        """Bill the sessions that a killed gateway left open, up to their last sign of life."""
        for endpoint in self._store.idle_sessions():
            self._settle(endpoint, endpoint.seconds)

    async def _watch(self) -> None:
        """Beat for the devices; stop engines that are idle too long or in a run's way."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except StoreError as error:
                logger.warning("%s", error.what)

    async def _look(self) -> None:
        tokens = [one.device_token for one in self._running.values()]
        if not tokens:
            return
        await asyncio.to_thread(self._store.beat_devices, tokens)
        wanted = bool(await asyncio.to_thread(self._store.wants))
        for one in list(self._running.values()):
            at = datetime.now(UTC)
            touch = self._store.touch_endpoint
            await asyncio.to_thread(touch, one.endpoint.id, one.seconds(), at)
            idle = 0.0 if one.users else time.monotonic() - one.idle_since
            if not one.users and (idle > self._settings.idle_s or (wanted and idle > LOOK_S)):
                await self._stop(one)

    def _told(self, running: Running) -> LocalEngine:
        endpoint = running.endpoint
        url = endpoint.base_url.rstrip("/")
        return LocalEngine(
            url=url if url.endswith("/v1") else f"{url}/v1",
            served_name=endpoint.served_name,
            endpoint_id=endpoint.id,
            share=running.share,
            machine=self._prices.machine_price(
                endpoint.hardware, endpoint.started_at, devices=endpoint.devices
            ),
        )


def _endpoint(system: System) -> Endpoint:
    return Endpoint(
        id=new_id(),
        run_id="",
        engine_key=system.engine_key,
        base_url="",
        served_name=system.model,
        started_at=datetime.now(UTC),
        hardware=expected_hardware(system),
        format_requested=system.format,
    )
