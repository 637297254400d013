"""A run at the prices of another day: from what was used, not from what was booked.

API calls are priced again from the providers' own usage bodies, call by call; engines from the
seconds that their lines kept. The ledger is only read. What has no usage, or no price on that
day, is unpriced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from functools import cache

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from qbench.benchmarks.analysis.outcomes import Outcomes
from qbench.benchmarks.usage import token_usage
from qbench.service.apiprices import api_price, installed_litellm
from qbench.service.attribution import call_dollars
from qbench.service.attribution import reprice as at_price
from qbench.service.domain import Basis, Endpoint, LedgerLine, Run, new_id
from qbench.service.energy import at_electricity
from qbench.service.money import EnergyPrice, HourlyPrice, MachinePrice, TokenPrice
from qbench.service.pricebook import PriceBook
from qbench.service.reports.evidence import Evidence, dealt, known_mean
from qbench.service.reports.leaderboard import ranked
from qbench.service.reports.values import SCHEMA, Leaderboard, to_json
from qbench.service.schedules import Snapshot
from qbench.service.store import Store
from qbench.service.store.ledger import DIGITS

NOTHING = Decimal(0)
Price = TokenPrice | HourlyPrice
Bill = dict[str, Decimal | None]
"""Attempt id to dollars; None when a part of them is unknown."""


class PriceUsed(Struct, frozen=True, kw_only=True):
    """A price that was in force on that day."""

    id: str
    name: str
    source: str
    origin: str
    valid_from: date | None


class CostChange(Struct, frozen=True, kw_only=True):
    """Mean dollars per attempt of a system, as booked and at the other prices."""

    system_id: str
    label: str
    before: float | None
    after: float | None


class Repriced(Struct, frozen=True, kw_only=True):
    """A run at the prices of one day."""

    run_id: str
    as_of: date
    basis: Basis
    paid_before: Decimal | None
    """Dollars of the whole run as booked; None when a part is unpriced."""
    paid: Decimal | None
    """The same at the other prices."""
    changes: tuple[CostChange, ...]
    prices: tuple[PriceUsed, ...]
    leaderboard: Leaderboard
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class _Bills:
    """What a run costs at one day's prices."""

    api: Bill
    engines: dict[str, Bill]
    """By basis."""
    paid: Decimal | None
    prices: dict[str, Price]


def reprice(
    store: Store, run_ref: str, prices: PriceBook, as_of: date, basis: Basis = "saturated"
) -> Repriced:
    """Return a run's leaderboard at the prices in force on ``as_of``.

    A call keeps its time of day, for prices that go by it. Where a price is the one it was billed
    at, the booked dollars stand, to the last digit.

    Args:
        store: where the run is.
        run_ref: its id, the beginning of it, or ``last``.
        prices: the price book; API models are looked up in the public lists after it.
        as_of: a day, UTC.
        basis: of local systems.

    Raises:
        NotFound: no such run.

    """
    run = store.run(run_ref)
    outcomes, places = store.placed_outcomes(run.id)
    before = Evidence(
        run=run,
        basis=basis,
        outcomes=outcomes,
        planned=store.planned(run.id),
        endpoints=store.endpoints(run.id),
        by_sample=dealt(store, run),
    )
    bills = _bills(store, run, prices, as_of)
    after = changed(before, outcomes=changed(outcomes, cost=_columns(bills, places, outcomes)))
    return Repriced(
        run_id=run.id,
        as_of=as_of,
        basis=basis,
        paid_before=None if store.unpriced(run.id) else store.paid(run.id),
        paid=bills.paid,
        changes=tuple(_changes(before, after)),
        prices=tuple(_used(key, price) for key, price in sorted(bills.prices.items())),
        leaderboard=ranked(after, bills.paid),
    )


def keep(store: Store, priced: Repriced, now: datetime, key: str = "") -> str:
    """Keep the leaderboard as a snapshot and return its id; the same ``key`` keeps it once."""
    snapshot = Snapshot(
        id=key or new_id(),
        run_id=priced.run_id,
        at=now,
        as_of=datetime.combine(priced.as_of, time(), UTC),
        basis=priced.basis,
        leaderboard=msgspec.json.decode(to_json(priced.leaderboard)),
    )
    store.add_snapshot(snapshot)
    return snapshot.id


def _bills(store: Store, run: Run, prices: PriceBook, as_of: date) -> _Bills:
    used: dict[str, Price] = {}
    api = _api_bill(store, run, _token_prices(prices, as_of), used)
    engines: dict[str, Bill] = {}
    owed: list[Decimal | None] = list(api.values())
    for line in _lines(store, run, prices, as_of, used):
        if line.basis == "dedicated":
            owed.append(line.dollars)
        if line.attempt_id:
            _add(engines.setdefault(line.basis, {}), line.attempt_id, line.dollars)
    return _Bills(api=api, engines=engines, paid=_total(owed), prices=used)


def _token_prices(prices: PriceBook, as_of: date) -> Callable[[str, datetime], TokenPrice | None]:
    """Return the price of a model for a call made at a time of day; asked once per minute."""
    litellm = installed_litellm()

    @cache
    def price(model: str, minute: time) -> TokenPrice | None:
        at = datetime.combine(as_of, minute, UTC)
        return api_price(model, at, book=prices, litellm=litellm)

    return lambda model, at: price(
        model, at.astimezone(UTC).time().replace(second=0, microsecond=0)
    )


def _api_bill(
    store: Store,
    run: Run,
    price_of: Callable[[str, datetime], TokenPrice | None],
    used: dict[str, Price],
) -> Bill:
    models = {s.id: s.model for s in run.request.systems if s.engine == "api"}
    bill: Bill = {}
    if not models:
        return bill
    with localcontext(prec=DIGITS):
        for call in store.model_calls(run.id, models):
            price = price_of(models[call.system_id], call.started_at)
            if price is not None:
                used[price.id] = price
            _add(bill, call.attempt_id, call_dollars(token_usage(call.raw_usage), price))
    return bill


def _lines(
    store: Store,
    run: Run,
    prices: PriceBook,
    as_of: date,
    used: dict[str, Price],
) -> Iterator[LedgerLine]:
    """Yield the lines of engine time at the day's prices."""
    sessions, known = store.sessions(run.id), store.prices()
    at = datetime.combine(as_of, time(), UTC)

    @cache
    def price_of(session: str, billed_at: str, basis: Basis) -> HourlyPrice | None:
        endpoint, old = sessions.get(session), known.get(billed_at)
        price = _electric(old, prices, at) if basis == "energy" else None
        if basis != "energy" and endpoint is not None:
            price = _machine(endpoint, run.controls.hardware, old, prices, at)
        if price is not None:
            used[price.id] = price
        return price

    for session, line in store.engine_costs(run.id):
        yield _line(line, price_of(session, line.price_id, line.basis))


def _electric(old: Price | None, prices: PriceBook, at: datetime) -> HourlyPrice | None:
    return at_electricity(old, prices, at) if isinstance(old, EnergyPrice) else None


def _machine(
    endpoint: Endpoint, hardware: str, old: Price | None, prices: PriceBook, at: datetime
) -> HourlyPrice | None:
    name = hardware or endpoint.hardware
    if not name:
        return None
    commitment = old.commitment if isinstance(old, MachinePrice) else "on-demand"
    return prices.machine_price(name, at, commitment, devices=endpoint.devices)


def _line(line: LedgerLine, price: HourlyPrice | None) -> LedgerLine:
    if price is None or line.seconds is None:
        return LedgerLine(
            attempt_id=line.attempt_id,
            basis=line.basis,
            dollars=None,
            usage=None,
            seconds=line.seconds,
            price_id="",
            at=line.at,
        )
    return line if price.id == line.price_id else at_price(line, price)


def _add(bill: Bill, key: str, dollars: Decimal | None) -> None:
    before = bill.get(key, NOTHING)
    bill[key] = None if before is None or dollars is None else before + dollars


def _total(owed: Iterable[Decimal | None]) -> Decimal | None:
    total = NOTHING
    with localcontext(prec=DIGITS):
        for dollars in owed:
            if dollars is None:
                return None
            total += dollars
    return total


def _columns(
    bills: _Bills, places: dict[str, int], outcomes: Outcomes
) -> dict[str, NDArray[np.float64]]:
    """Return (N,) dollars by basis; superseded attempts have no place and are left out."""
    found = {}
    for basis, bill in {"api": bills.api, **bills.engines}.items():
        column = np.full(len(outcomes.status), np.nan)
        for key, dollars in bill.items():
            if dollars is not None and key in places:
                column[places[key]] = float(dollars)
        found[basis] = column
    return found


def _changes(before: Evidence, after: Evidence) -> Iterator[CostChange]:
    for system in before.run.request.systems:
        yield CostChange(
            system_id=system.id,
            label=system.label,
            before=_mean_cost(before, system.id),
            after=_mean_cost(after, system.id),
        )


def _mean_cost(evidence: Evidence, system_id: str) -> float | None:
    place = evidence.place(system_id)
    if place is None:
        return None
    costs, tried = evidence.sums.costs[place], ~np.isnan(evidence.sums.rates[place])
    return known_mean(costs[tried])


def _used(key: str, price: Price) -> PriceUsed:
    return PriceUsed(
        id=key,
        name=price.name,
        source=price.source,
        origin=price.origin,
        valid_from=price.valid_from,
    )
