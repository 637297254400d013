"""What a run used, read once, and its dollars at the prices of any day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.benchmarks.chat import TokenUsage
from qbench.benchmarks.usage import token_usage
from qbench.service.apiprices import api_price, installed_litellm
from qbench.service.domain import Endpoint, Run
from qbench.service.energy import at_electricity
from qbench.service.metered import (
    DIGITS,
    PICO,
    Bill,
    EngineBills,
    EnginePriceOf,
    EngineTime,
    engine_bills,
    engine_time_of,
    total,
)
from qbench.service.metered_calls import Calls, PriceOf, api_bill, calls_of
from qbench.service.money import EnergyPrice, HourlyPrice, MachinePrice, TokenPrice
from qbench.service.others import others_of, system_of
from qbench.service.pricebook import PriceBook
from qbench.service.store import Store

Price = TokenPrice | HourlyPrice


@dataclass(frozen=True, kw_only=True)
class Bills:
    """What a run costs at one day's prices."""

    cost: dict[str, NDArray[np.float64]]
    """Basis to (N,) dollars of its current attempts; NaN where a part is unknown."""
    paid: Decimal | None
    """Dollars of the whole run, superseded attempts and idle engines too."""
    prices: dict[str, Price]
    """The prices in force that were needed, by id."""


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a run used, for the prices of any number of days."""

    run: Run
    outcomes: Outcomes
    attempts: int
    """All of them, superseded ones after the current."""
    calls: Calls
    others: Calls
    """Of other models that strategies asked."""
    lines: EngineTime
    sessions: dict[str, Endpoint]
    booked_at: dict[str, Price]
    """The prices that its lines were booked at, by id."""

    @classmethod
    def of(cls, store: Store, run: Run) -> Used:
        """Read a run."""
        outcomes, places = store.placed_outcomes(run.id)
        found: defaultdict[str, int] = defaultdict(lambda: len(found), places)
        calls = calls_of(_calls(store, run, found))
        lines = engine_time_of(
            ([found[key] if key else -1 for key in ids], groups, seconds, dollars)
            for ids, groups, seconds, dollars in store.engine_time(run.id)
        )
        return cls(
            run=run,
            outcomes=outcomes,
            attempts=len(found),
            calls=calls,
            others=calls_of(_others(store, run, found)),
            lines=lines,
            sessions=store.sessions(run.id),
            booked_at=store.prices(),
        )

    def at(self, prices: PriceBook, as_of: date) -> Bills:
        """Price all of it as on a day."""
        api, tokens = api_bill(self.calls, _token_prices(prices, as_of), self.attempts)
        others, more = api_bill(self.others, _other_prices(self.run, prices, as_of), self.attempts)
        engines = engine_bills(self.lines, self._machine_prices(prices, as_of), self.attempts)
        used: tuple[Price, ...] = (*tokens, *more, *engines.prices)
        shown = len(self.outcomes.status)
        cost = {name: one.floats(shown) for name, one in {"api": api, **engines.bills}.items()}
        if others.billed.any():
            asked = others.billed[:shown]
            cost["others"] = np.where(asked, others.floats(shown), 0.0)
        return Bills(
            cost=cost,
            paid=_paid((api, others), engines),
            prices={price.id: price for price in used},
        )

    def prices_on(self, prices: PriceBook, day: date) -> dict[str, str]:
        """Return the prices in force on a day that this run needs: id to name."""
        token, machine = _token_prices(prices, day), self._machine_prices(prices, day)
        found: list[Price | None] = [token(*key) for key in self.calls.keys]
        other = _other_prices(self.run, prices, day)
        found += [other(*key) for key in self.others.keys]
        found += [machine(*group) for group in self.lines.groups]
        return {price.id: price.name for price in found if price is not None}

    def _machine_prices(self, prices: PriceBook, as_of: date) -> EnginePriceOf:
        """Return the price of a group of lines: of the machine, or of its electricity."""
        at = datetime.combine(as_of, time(), UTC)

        @cache
        def price_of(basis: str, session: str, billed_at: str) -> HourlyPrice | None:
            endpoint, old = self.sessions.get(session), self.booked_at.get(billed_at)
            if basis == "energy":
                return at_electricity(old, prices, at) if isinstance(old, EnergyPrice) else None
            if endpoint is None:
                return None
            return _machine(endpoint, self.run.controls.hardware, old, prices, at)

        return price_of


def _machine(
    endpoint: Endpoint, hardware: str, old: Price | None, prices: PriceBook, at: datetime
) -> HourlyPrice | None:
    name = hardware or endpoint.hardware
    if not name:
        return None
    commitment = old.commitment if isinstance(old, MachinePrice) else "on-demand"
    return prices.machine_price(name, at, commitment, devices=endpoint.devices)


def _calls(
    store: Store, run: Run, places: defaultdict[str, int]
) -> Iterator[tuple[int, str, time, TokenUsage | None]]:
    """Yield the calls of API models, those of superseded attempts too."""
    models = {s.id: s.model for s in run.request.systems if s.engine == "api"}
    for call in store.model_calls(run.id, models) if models else ():
        minute = call.started_at.astimezone(UTC).time().replace(second=0, microsecond=0)
        yield places[call.attempt_id], models[call.system_id], minute, token_usage(call.raw_usage)


def _others(
    store: Store, run: Run, places: defaultdict[str, int]
) -> Iterator[tuple[int, str, time, TokenUsage | None]]:
    """Yield the calls that other models answered, from the transcripts that alone have them."""
    if not any(others_of(system.strategy) for system in run.request.systems):
        return
    for made, transcript in store.every_transcript(run.id):
        for turn in transcript.turns:
            if turn.by:
                minute = turn.timing.started_at.astimezone(UTC).time()
                minute = minute.replace(second=0, microsecond=0)
                yield places[made.attempt_id], turn.by, minute, turn.usage


def _token_prices(prices: PriceBook, as_of: date) -> PriceOf:
    """Return the price of a model for a call made at a minute of the day."""
    litellm = installed_litellm()

    def price(model: str, minute: time) -> TokenPrice | None:
        at = datetime.combine(as_of, minute, UTC)
        return api_price(model, at, book=prices, litellm=litellm)

    return price


def _other_prices(run: Run, prices: PriceBook, as_of: date) -> PriceOf:
    """Return the price of another model, which no list has where no provider sells it."""
    listed = _token_prices(prices, as_of)
    asked = {one.model: one for system in run.request.systems for one in others_of(system.strategy)}

    def price(model: str, minute: time) -> TokenPrice | None:
        if system_of(asked[model]).engine == "api":
            return listed(model, minute)
        return prices.model_price(model, datetime.combine(as_of, minute, UTC))

    return price


def _paid(tokens: Sequence[Bill], engines: EngineBills) -> Decimal | None:
    if engines.dedicated is None or any(bill.unknown.any() for bill in tokens):
        return None
    units, extra = engines.dedicated
    with localcontext(prec=DIGITS):
        odd = sum(extra.values(), Decimal(0))
        called = sum((total(bill.units, bill.scale) for bill in tokens), Decimal(0))
        return called + total(units, PICO) + odd
