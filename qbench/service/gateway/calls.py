"""Gateway calls as values, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec import Struct

from qbench.benchmarks.chat import TokenUsage
from qbench.service.attribution import call_dollars
from qbench.service.domain import LedgerLine
from qbench.service.money import MachinePrice, TokenPrice, exact_seconds, machine_cost


class GatewayCall(Struct, frozen=True, kw_only=True):
    """One call through the gateway."""

    id: str
    key_id: str | None
    """None on the open service of one machine."""
    model: str
    """As it was asked for."""
    endpoint_id: str | None
    """The engine session that served it; None for an API."""
    started_at: datetime
    e2el_s: float
    ttft_s: float | None = None
    busy_s: float | None = None
    """Its share of the engine's busy seconds; the shares of all calls add up to them."""
    status: int
    """As HTTP; 499 when the client went away."""
    error: str = ""
    finish_reason: str = ""
    usage: TokenUsage | None = None
    """None when the model reported none: unknown is never zero."""
    raw_usage: dict[str, Any] = {}


class KeyUsage(Struct, frozen=True, kw_only=True):
    """What a key asked of a model, in sum."""

    key_id: str | None
    model: str
    calls: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    dollars: str | None
    """Known dollars, exact; None when no call was priced."""
    unpriced: int


class Share:
    """Shares an engine's busy seconds among the calls in flight: each gets 1/n of them.

    With V(t) the integral of dt/n over the time with n > 0 calls in flight, a call's share is
    V(end) - V(start), and the shares add up to the busy time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.busy = 0.0
        """Seconds with at least one call in flight."""
        self._clock = clock
        self._in_flight = 0
        self._virtual = 0.0
        self._at = clock()

    @property
    def in_flight(self) -> int:
        """Calls now."""
        return self._in_flight

    def enter(self) -> float:
        """Note that a call begins; return what ``leave`` wants back."""
        self._advance()
        self._in_flight += 1
        return self._virtual

    def leave(self, entered: float) -> float:
        """Note that a call ended; return its seconds."""
        self._advance()
        self._in_flight -= 1
        return self._virtual - entered

    def _advance(self) -> None:
        now = self._clock()
        if self._in_flight:
            self.busy += now - self._at
            self._virtual += (now - self._at) / self._in_flight
        self._at = now


def api_line(call: GatewayCall, price: TokenPrice | None) -> LedgerLine:
    """Price a call by its tokens; unknown usage or price is unpriced."""
    dollars = call_dollars(call.usage, price)
    return LedgerLine(
        attempt_id="",
        call_id=call.id,
        basis="api",
        dollars=dollars,
        usage=call.usage,
        seconds=None,
        price_id=price.id if price and dollars is not None else "",
        at=call.started_at,
    )


def engine_line(call: GatewayCall, price: MachinePrice | None) -> LedgerLine:
    """Price a call by its share of an engine's busy seconds."""
    seconds = exact_seconds(call.busy_s or 0.0)
    return LedgerLine(
        attempt_id="",
        call_id=call.id,
        basis="saturated",
        dollars=machine_cost(seconds, price) if price else None,
        usage=call.usage,
        seconds=float(seconds),
        price_id=price.id if price else "",
        at=call.started_at,
    )
