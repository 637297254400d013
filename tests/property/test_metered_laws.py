"""Pricing by columns of whole numbers gives what pricing line by line in Decimal gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal, localcontext

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.benchmarks.chat import TokenUsage
from qbench.service.attribution import call_dollars
from qbench.service.metered import (
    DIGITS,
    PICO,
    Lines,
    engine_bills,
    engine_time_of,
    total,
)
from qbench.service.metered_calls import api_bill, calls_of
from qbench.service.money import (
    MachinePrice,
    Rates,
    Tier,
    TokenPrice,
    exact_seconds,
    machine_cost,
)

ATTEMPTS = 5
NOON, NIGHT = time(12, 0), time(0, 30)

rates = st.decimals(0, 100, places=None, allow_nan=False, allow_infinity=False).map(
    lambda rate: rate.quantize(Decimal("1e-7"))
) | st.sampled_from([Decimal(3), Decimal("0.15"), Decimal("1e-30"), Decimal("123456789.5")])
tables = st.builds(
    Rates,
    input=rates,
    output=rates,
    cached_input=st.none() | rates,
    cache_write=st.none() | rates,
    reasoning=st.none() | rates,
)
prices = st.builds(
    TokenPrice,
    name=st.sampled_from(["one", "two"]),
    rates=tables,
    tiers=st.lists(st.builds(Tier, above=st.integers(0, 3000), rates=tables), max_size=2).map(
        tuple
    ),
    per_request=st.sampled_from([Decimal(0), Decimal("0.0001"), Decimal("1e-9")]),
    source=st.just("own: test"),
)
counts = st.integers(0, 4000) | st.just(10**9)
usages = st.none() | st.builds(
    TokenUsage,
    prompt_tokens=counts,
    cached_tokens=st.integers(0, 1000),
    cache_write_tokens=st.integers(0, 300),
    completion_tokens=counts,
    reasoning_tokens=st.integers(-1, 500),
)
calls = st.lists(
    st.tuples(
        st.integers(0, ATTEMPTS - 1),
        st.sampled_from(["one", "two", "free"]),
        st.sampled_from([NOON, NIGHT]),
        usages,
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(calls, st.dictionaries(st.sampled_from([NOON, NIGHT]), prices, max_size=2))
def test_calls_cost_what_each_costs(
    made: list[tuple[int, str, time, TokenUsage | None]], known: dict[time, TokenPrice]
) -> None:
    def price_of(model: str, minute: time) -> TokenPrice | None:
        return None if model == "free" else known.get(minute)

    bill, used = api_bill(calls_of(made), price_of, ATTEMPTS)
    owed: dict[int, list[Decimal | None]] = {}
    for place, model, minute, usage in made:
        owed.setdefault(place, []).append(call_dollars(usage, price_of(model, minute)))
    floats = bill.floats(ATTEMPTS)
    with localcontext(prec=DIGITS):
        for place in range(ATTEMPTS):
            costs = owed.get(place, [])
            assert bill.billed[place] == bool(costs)
            assert bill.unknown[place] == (None in costs)
            if costs and None not in costs:
                whole = sum((cost for cost in costs if cost is not None), Decimal(0))
                assert bill.dollars(place) == whole
                assert floats[place] == float(whole)
            else:
                assert np.isnan(floats[place])
        every = [cost for costs in owed.values() for cost in costs]
        if None not in every:
            everything = sum((cost for cost in every if cost is not None), Decimal(0))
            assert total(bill.units, bill.scale) == everything
    met = {price_of(model, minute) for _, model, minute, _ in made} - {None}
    assert {price.id for price in used} == {price.id for price in met if price is not None}


seconds = (
    st.none()
    | st.integers(0, 10**13).map(lambda nanos: nanos / 1e9)
    | st.floats(0, 1e7, allow_nan=False)
    | st.just(0.1 + 0.2)
)
amounts = (
    st.none()
    | st.decimals(0, 10**6, allow_nan=False, allow_infinity=False).map(
        lambda dollars: dollars.quantize(Decimal("1e-12"))
    )
    | st.sampled_from([Decimal("1e-15"), Decimal(0), Decimal(3), Decimal("1234567.000000000001")])
)
lines = st.lists(
    st.tuples(
        st.integers(-1, ATTEMPTS - 1),
        st.tuples(
            st.sampled_from(["dedicated", "saturated"]),
            st.sampled_from(["h100", "cpu", "lost"]),
            st.sampled_from(["old", "same"]),
        ),
        seconds,
        amounts,
    ),
    max_size=12,
)


def machine(dollars: Decimal) -> MachinePrice:
    return MachinePrice(
        name="box",
        hardware="box",
        commitment="on-demand",
        per_unit=dollars,
        units=3,
        provider="us",
        source="own: test",
        checked=date(2026, 1, 1),
        valid_from=date(2026, 1, 1),
    )


Line = tuple[int, tuple[str, str, str], float | None, str | None]


def parts(rows: list[Line]) -> Iterator[Lines]:
    """Cut lines into the parts in which a database is read."""
    for start in range(0, len(rows), 4):
        places, groups, took, paid = zip(*rows[start : start + 4], strict=True)
        yield places, groups, took, paid


@settings(max_examples=60, deadline=None)
@given(lines, rates, st.booleans())
def test_engine_time_costs_what_each_line_costs(
    made: list[tuple[int, tuple[str, str, str], float | None, Decimal | None]],
    hourly: Decimal,
    same: bool,
) -> None:
    price = machine(hourly)

    def price_of(basis: str, session: str, billed: str) -> MachinePrice | None:
        del basis, billed
        return None if session == "lost" else price

    named = [
        (place, (basis, session, price.id if same and billed == "same" else billed), took, paid)
        for place, (basis, session, billed), took, paid in made
    ]
    written: list[Line] = [
        (place, group, took, None if paid is None else format(paid, "f"))
        for place, group, took, paid in named
    ]
    found = engine_bills(engine_time_of(parts(written)), price_of, ATTEMPTS)
    slow = [(place, group, _slow(group, took, paid, price)) for place, group, took, paid in named]
    assert found.bills.keys() == {basis for place, (basis, _, _), _ in slow if place >= 0}
    with localcontext(prec=DIGITS):
        for basis, bill in found.bills.items():
            floats = bill.floats(ATTEMPTS)
            for place in range(ATTEMPTS):
                costs = [cost for at, group, cost in slow if at == place and group[0] == basis]
                known = [cost for cost in costs if cost is not None]
                if costs and len(known) == len(costs):
                    assert bill.dollars(place) == sum(known, Decimal(0))
                    assert floats[place] == float(sum(known, Decimal(0)))
                else:
                    assert np.isnan(floats[place])
        paid_lines = [cost for _, group, cost in slow if group[0] == "dedicated"]
        if None in paid_lines:
            assert found.dedicated is None
        else:
            assert found.dedicated is not None
            units, extra = found.dedicated
            whole = total(units, PICO) + sum(extra.values(), Decimal(0))
            assert whole == sum((cost for cost in paid_lines if cost is not None), Decimal(0))


def _slow(
    group: tuple[str, str, str], took: float | None, paid: Decimal | None, price: MachinePrice
) -> Decimal | None:
    """Price one line as the books do."""
    _, session, billed = group
    if session == "lost" or took is None:
        return None
    return paid if billed == price.id else machine_cost(exact_seconds(took), price)


def test_ties_of_a_picodollar_go_to_the_even_one() -> None:
    price = machine(Decimal("0.6"))  # 1.8 an hour: half a picodollar per nanosecond
    rows: list[Line] = [(n, ("dedicated", "s", "old"), n / 1e9, None) for n in range(5)]
    found = engine_bills(engine_time_of(parts(rows)), lambda *_: price, 5)
    assert found.dedicated is not None
    assert found.dedicated[0].tolist() == [0, 0, 1, 2, 2]
    assert [int(machine_cost(exact_seconds(n / 1e9), price).scaleb(12)) for n in range(5)] == [
        0, 0, 1, 2, 2,
    ]  # fmt: skip


def test_sums_beyond_63_bits_lose_nothing() -> None:
    units = np.full(5, 2**62 - 1, dtype=np.int64)
    assert total(units, 0) == 5 * (2**62 - 1)
