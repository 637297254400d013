"""One call's meter: from its arrival to its line in the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from qbench.errors import QbenchError
from qbench.service.access import Caller
from qbench.service.attribution import PriceAt
from qbench.service.domain import new_id
from qbench.service.gateway.backend import LocalEngine
from qbench.service.gateway.calls import GatewayCall, api_line, engine_line
from qbench.service.gateway.wire import Seen, error_body, event, status_of, told_usage
from qbench.service.store import Store

CLIENT_LEFT = 499


class Metered:
    """Measures a call and writes it down once, however it ends."""

    def __init__(self, store: Store, caller: Caller, model: str) -> None:
        self.seen = Seen()
        self.price: PriceAt | None = None
        """Of an API model's tokens."""
        self._store = store
        self._caller = caller
        self._model = model
        self._at = datetime.now(UTC)
        self._began = time.perf_counter()
        self._ttft: float | None = None
        self._engine: LocalEngine | None = None
        self._entered: float | None = None
        self._busy: float | None = None
        self._written = False

    def begin_on(self, engine: LocalEngine) -> None:
        """Note that a local engine works on it from now on."""
        self._engine, self._entered = engine, engine.share.enter()

    def end_on(self) -> None:
        """Note that the engine is done with it; a second call does nothing."""
        if self._engine is not None and self._entered is not None:
            self._busy = self._engine.share.leave(self._entered)
            self._entered = None

    def events(self, piece: bytes) -> Iterator[tuple[bytes, bool]]:
        """Cut a piece of a stream into events; tell of each whether it is usage alone."""
        for one, usage_alone in self.seen.events(piece):
            if self._ttft is None and self.seen.has_content:
                self._ttft = time.perf_counter() - self._began
            yield one, usage_alone

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[None]:
        """Write the call down when its stream ends, broke off, or lost its client."""
        status, error = 200, ""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            if not self.seen.is_done:
                status, error = CLIENT_LEFT, "the client went away"
            raise
        except QbenchError as failed:
            status, error = status_of(failed), failed.what
            raise
        finally:
            self.end_on()
            await asyncio.shield(self._write(status, error))

    async def done(self, status: int) -> None:
        """Write down a call that was answered whole."""
        self.end_on()
        await self._write(status, "" if status < 400 else "the engine refused it")

    async def failed(self, error: QbenchError) -> None:
        """Write down a call that could not be answered."""
        self.end_on()
        await self._write(status_of(error), error.what)

    async def left(self) -> None:
        """Write down a call whose client went away before it was answered."""
        self.end_on()
        await self._write(CLIENT_LEFT, "the client went away")

    async def _write(self, status: int, error: str) -> None:
        if self._written:
            return
        self._written = True
        call = self._call(status, error)
        await asyncio.to_thread(self._save, call)

    def _call(self, status: int, error: str) -> GatewayCall:
        return GatewayCall(
            id=new_id(),
            key_id=self._caller.key_id,
            model=self._model,
            endpoint_id=self._engine.endpoint_id if self._engine else None,
            started_at=self._at,
            e2el_s=time.perf_counter() - self._began,
            ttft_s=self._ttft,
            busy_s=self._busy,
            status=status,
            error=error[:500],
            finish_reason=self.seen.finish_reason,
            usage=told_usage(self.seen.raw_usage),
            raw_usage=self.seen.raw_usage,
        )

    def _save(self, call: GatewayCall) -> None:
        if self._engine is not None:
            machine = self._engine.machine
            if machine is not None:
                self._store.save_prices({machine.id: machine})
            self._store.save_call(call, [engine_line(call, machine)])
            return
        price = self.price(call.started_at) if self.price else None
        if price is not None:
            self._store.save_prices({price.id: price})
        answered = call.status < 400 or call.usage is not None or call.status == CLIENT_LEFT
        self._store.save_call(call, [api_line(call, price)] if answered and self.price else [])


def last_event(error: QbenchError) -> bytes:
    """Tell a stream's reader why it ends."""
    return event(error_body(str(error), "server_error", "engine_error"))
