"""A run at the prices of another day: from what was used, not from what was booked.

API calls are priced again from the providers' own usage bodies, call by call; engines from the
seconds that their lines kept. The ledger is only read. What has no usage, or no price on that
day, is unpriced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as changed
from datetime import UTC, date, datetime, time
from decimal import Decimal

import msgspec
import numpy as np
from msgspec import Struct

from qbench.service.domain import Basis, new_id
from qbench.service.pricebook import PriceBook
from qbench.service.reports.evidence import Evidence, dealt, known_mean
from qbench.service.reports.leaderboard import ranked
from qbench.service.reports.values import SCHEMA, Leaderboard, to_json
from qbench.service.schedules import Snapshot
from qbench.service.store import Store
from qbench.service.used import Price, Used


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
    used = Used.of(store, run)
    before = Evidence(
        run=run,
        basis=basis,
        outcomes=used.outcomes,
        planned=store.planned(run.id),
        endpoints=store.endpoints(run.id),
        by_sample=dealt(store, run),
    )
    bills = used.at(prices, as_of)
    after = changed(before, outcomes=changed(used.outcomes, cost=bills.cost))
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
