"""What a run used, as columns, and what that costs at any prices: exact, and fast.

Dollars are whole numbers of a small unit, so that a million attempts are priced by a few products
of integers and no digit is lost: API tokens in the unit in which all rates in force are whole,
engine seconds in picodollars, as ``machine_cost`` rounds them. What does not fit into 63 bits, or
is no whole number of these units, is done in Decimal, line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import time
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.chat import TokenUsage
from qbench.errors import EngineReplyInvalid
from qbench.service.money import (
    HourlyPrice,
    Rates,
    TokenPrice,
    check_usage,
    exact_seconds,
    machine_cost,
)

Units = NDArray[Any]
"""Whole numbers: int64, or Python's own where those are too small."""

ROOM = 2**62
PICO = 12
NANO = 9
DIGITS = 80
MOST_NANOS = 10**15
"""Up to 15 digits a decimal and the float it prints as are one to one."""
EXACT_POWER = 22
"""10 to this power is exact in a float."""

PriceOf = Callable[[str, time], TokenPrice | None]
"""Price of a model at a minute of the day."""
EnginePriceOf = Callable[[str, str, str], HourlyPrice | None]
"""Price of an engine session on a basis, whose line was billed at a price of that id."""


@dataclass(frozen=True, kw_only=True)
class Calls:
    """C calls of API models."""

    attempt: NDArray[np.intp]
    """(C,) place of the attempt."""
    key: NDArray[np.intp]
    """(C,) index into ``keys``."""
    keys: tuple[tuple[str, time], ...]
    """Model and minute of the day."""
    prompt: NDArray[np.int64]
    """(C,) prompt tokens: tiers go by them."""
    tokens: NDArray[np.int64]
    """(5, C) fresh input, cached, cache-write, spoken and reasoning tokens."""
    known: NDArray[np.bool_]
    """(C,) whether the usage was told, and possible."""


@dataclass(frozen=True, kw_only=True)
class EngineTime:
    """L ledger lines of engine time."""

    attempt: NDArray[np.intp]
    """(L,) place of the attempt; -1 for a session that served none."""
    group: NDArray[np.intp]
    """(L,) index into ``groups``."""
    groups: tuple[tuple[str, str, str], ...]
    """Basis, session and the id of the price that it was billed at."""
    nanos: NDArray[np.int64]
    """(L,) nanoseconds; -1 where unknown or in ``odd``."""
    booked: NDArray[np.int64]
    """(L,) picodollars as booked; -1 where unknown or in ``odd``."""
    odd: dict[int, tuple[float | None, Decimal | None]]
    """Seconds and dollars of lines that are no such whole numbers."""


@dataclass(frozen=True)
class Bill:
    """Dollars by attempt, of one basis."""

    units: Units
    """(A,) whole numbers of ``10 ** -scale`` dollars."""
    scale: int
    billed: NDArray[np.bool_]
    """(A,) whether there is anything to pay."""
    unknown: NDArray[np.bool_]
    """(A,) whether a part of it is unknown."""
    extra: dict[int, Decimal]
    """What odd lines add to an attempt."""

    def floats(self, attempts: int) -> NDArray[np.float64]:
        """Return dollars of the first so many attempts, NaN where unknown or nothing billed."""
        units = self.units[:attempts]
        small = np.abs(units) < 2**53 if units.dtype != object else np.zeros(len(units), bool)
        exact = small & (self.scale <= EXACT_POWER)
        found = np.full(attempts, np.nan)
        found[exact] = units[exact] / 10.0**self.scale
        for place in [*np.flatnonzero(~exact), *(p for p in self.extra if p < attempts)]:
            found[place] = float(self.dollars(int(place)))
        found[~self.billed[:attempts] | self.unknown[:attempts]] = np.nan
        return found

    def dollars(self, place: int) -> Decimal:
        """Return what an attempt owes, as far as it is known."""
        with localcontext(prec=DIGITS):
            return Decimal(int(self.units[place])).scaleb(-self.scale) + self.extra.get(place, 0)


def calls_of(rows: Iterable[tuple[int, str, time, TokenUsage | None]]) -> Calls:
    """Make columns of (attempt's place, model, minute of the day, usage)."""
    keys: dict[tuple[str, time], int] = {}
    made: list[tuple[int, ...]] = []
    for place, model, minute, usage in rows:
        key = keys.setdefault((model, minute), len(keys))
        made.append((place, key, *_counts(usage)))
    table = np.array(made, dtype=np.int64).reshape(-1, 9)
    return Calls(
        attempt=table[:, 0].astype(np.intp),
        key=table[:, 1].astype(np.intp),
        keys=tuple(keys),
        known=table[:, 2].astype(np.bool_),
        prompt=table[:, 3].copy(),
        tokens=table[:, 4:].T.copy(),
    )


def _counts(usage: TokenUsage | None) -> tuple[int, ...]:
    """Return whether usage is known, the prompt, and its tokens by what they are."""
    if usage is None:
        return (0,) * 7
    try:
        check_usage(usage)
    except EngineReplyInvalid:
        return (0,) * 7
    read, written, thought = usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens
    fresh = usage.prompt_tokens - read - written
    spoken = usage.completion_tokens - thought
    return 1, usage.prompt_tokens, fresh, read, written, spoken, thought


def api_bill(calls: Calls, price_of: PriceOf, attempts: int) -> tuple[Bill, list[TokenPrice]]:
    """Price API calls; return the bill of so many attempts, and the prices that were used."""
    prices = [price_of(model, minute) for model, minute in calls.keys]
    known = [price for price in prices if price is not None]
    scale = max((_decimals(price) for price in known), default=0)
    units = _zeros(calls, known, scale)
    for key, price in enumerate(prices):
        mine = np.flatnonzero((calls.key == key) & calls.known)
        if price is not None and len(mine):
            units[mine] = _call_units(calls, mine, price, scale, units.dtype)
    priced = np.array([price is not None for price in prices], dtype=np.bool_)
    unpriced = ~calls.known | ~(priced[calls.key] if prices else calls.known)
    bill = Bill(
        units=_added(units, calls.attempt, attempts),
        scale=scale + 6,
        billed=_any(calls.attempt, attempts),
        unknown=_any(calls.attempt[unpriced], attempts),
        extra={},
    )
    return bill, list({price.id: price for price in known}.values())


def _zeros(calls: Calls, prices: Sequence[TokenPrice], scale: int) -> Units:
    """Return (C,) zeros of a kind that holds what an attempt could cost."""
    most = int(calls.tokens.max(initial=0)) * len(calls.tokens)
    rates = [_whole(rates.highest, scale) for p in prices for _, rates in _sets(p)]
    request = max((_whole(price.per_request, scale + 6) for price in prices), default=0)
    together = int(np.bincount(calls.attempt).max(initial=0))
    fits = (most * max(rates, default=0) + request) * together < ROOM
    return np.zeros(len(calls.attempt), dtype=np.int64 if fits else object)


def _call_units(
    calls: Calls, mine: NDArray[np.intp], price: TokenPrice, scale: int, kind: Any
) -> Units:
    found = np.zeros(len(mine), dtype=kind)
    for above, rates in _sets(price):
        inside = np.flatnonzero(calls.prompt[mine] > above)
        tokens = calls.tokens[:, mine[inside]].astype(kind)
        whole = [_whole(rate, scale) for rate in _by_kind(rates)]
        found[inside] = sum(count * rate for count, rate in zip(tokens, whole, strict=True))
    return found + _whole(price.per_request, scale + 6)


def _sets(price: TokenPrice) -> list[tuple[int, Rates]]:
    """Return the rates with the prompt above which they hold, the lowest first.

    Of two tiers with one bound the first holds, as in ``TokenPrice.rates_at``: it comes last.
    """
    tiers = [(tier.above, tier.rates) for tier in reversed(price.tiers)]
    return [(-1, price.rates), *sorted(tiers, key=lambda tier: tier[0])]


def _by_kind(rates: Rates) -> tuple[Decimal, ...]:
    """Return the rates in the order of ``Calls.tokens``; unnamed ones as ``token_cost`` does."""
    cached = rates.input if rates.cached_input is None else rates.cached_input
    write = rates.input if rates.cache_write is None else rates.cache_write
    thought = rates.output if rates.reasoning is None else rates.reasoning
    return rates.input, cached, write, rates.output, thought


def _decimals(price: TokenPrice) -> int:
    """Return the least scale of a millionth of a dollar at which all its numbers are whole."""
    numbers = [rate for _, rates in _sets(price) for rate in _by_kind(rates)]
    return max(0, *(_places(rate) for rate in numbers), _places(price.per_request) - 6)


def _places(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _whole(number: Decimal, scale: int) -> int:
    with localcontext(prec=DIGITS):
        return int(number.scaleb(scale))


def engine_time_of(
    rows: Iterable[tuple[int, tuple[str, str, str], float | None, str | None]],
) -> EngineTime:
    """Make columns of (attempt's place, group, seconds, dollars in plain digits)."""
    groups: dict[tuple[str, str, str], int] = {}
    places, codes, seconds, dollars = list[int](), list[int](), list[float](), list[int]()
    odd: dict[int, tuple[float | None, Decimal | None]] = {}
    for place, group, took, text in rows:
        codes.append(groups.setdefault(group, len(groups)))
        pico = -1 if text is None else _pico(text)
        if pico is None:
            odd[len(places)] = took, Decimal(text or 0)
        places.append(place)
        seconds.append(np.nan if took is None else took)
        dollars.append(-1 if pico is None else pico)
    exact = np.array(seconds, dtype=np.float64)
    booked = np.array(dollars, dtype=np.int64)
    for place in np.flatnonzero(~np.isnan(exact) & (_nanos(exact) < 0)).tolist():
        text_of = Decimal(dollars[place]).scaleb(-PICO) if dollars[place] >= 0 else None
        odd.setdefault(place, (seconds[place], text_of))
    nanos = _nanos(exact)
    nanos[list(odd)], booked[list(odd)] = -1, -1
    return EngineTime(
        attempt=np.array(places, dtype=np.intp),
        group=np.array(codes, dtype=np.intp),
        groups=tuple(groups),
        nanos=nanos,
        booked=booked,
        odd=odd,
    )


def _pico(text: str) -> int | None:
    """Return plain digits as picodollars; None where they are no whole number of those."""
    whole, _, part = text.partition(".")
    if len(part) > PICO or len(whole) > 5 or not whole.isdigit():
        return None
    return int(whole + part.ljust(PICO, "0"))


def _nanos(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return seconds as nanoseconds; -1 where they are no whole number of those."""
    fits = (seconds >= 0) & (seconds < MOST_NANOS / 1e9)
    whole = np.rint(np.where(fits, seconds, 0) * 1e9)
    return np.where(fits & (whole / 1e9 == seconds), whole, -1).astype(np.int64)


@dataclass(frozen=True)
class EngineBills:
    """What engine time costs: by attempt on each basis, and by line."""

    bills: dict[str, Bill]
    dedicated: tuple[Units, dict[int, Decimal]] | None
    """Picodollars of every dedicated line and what odd ones add; None where one is unknown."""
    prices: list[HourlyPrice]


def engine_bills(lines: EngineTime, price_of: EnginePriceOf, attempts: int) -> EngineBills:
    """Price engine time. Where a price is the one it was billed at, what was booked stands."""
    prices = [price_of(*group) for group in lines.groups]
    units, unknown = _line_units(lines, prices)
    extra = {line: _odd(lines, line, prices) for line in lines.odd}
    for line, dollars in extra.items():
        unknown[line] = dollars is None
    known = {line: dollars for line, dollars in extra.items() if dollars is not None}
    basis_of = np.array([basis for basis, _, _ in lines.groups] or [""])[lines.group]
    costs = units, unknown, known
    bills = {
        str(basis): _engine_bill(lines, np.flatnonzero(basis_of == basis), costs, attempts)
        for basis in np.unique(basis_of[lines.attempt >= 0])
    }
    paid = basis_of == "dedicated"
    lost = bool(unknown[paid].any())
    return EngineBills(
        bills=bills,
        dedicated=None if lost else (units[paid], {k: d for k, d in known.items() if paid[k]}),
        prices=list({price.id: price for price in prices if price is not None}.values()),
    )


def _line_units(
    lines: EngineTime, prices: Sequence[HourlyPrice | None]
) -> tuple[Units, NDArray[np.bool_]]:
    ratios = [_rate(price) for price in prices if price is not None]
    above = max((ratio[0] for ratio in ratios), default=0)
    below = max((ratio[1] for ratio in ratios), default=0)
    lots = int(np.bincount(lines.attempt[lines.attempt >= 0]).max(initial=1))
    highest = max(int(lines.nanos.max(initial=0)) * above * 5, int(lines.booked.max(initial=0)))
    fits = max(highest * lots, 36 * below) < ROOM
    units = np.zeros(len(lines.group), dtype=np.int64 if fits else object)
    unknown = np.ones(len(lines.group), dtype=np.bool_)
    for code, ((_, _, billed), price) in enumerate(zip(lines.groups, prices, strict=True)):
        mine = np.flatnonzero(lines.group == code)
        if price is None or not len(mine):
            continue
        same = price.id == billed
        used = (lines.booked if same else lines.nanos)[mine]
        unknown[mine] = (used < 0) | (lines.nanos[mine] < 0)
        units[mine] = used if same else _picodollars(used.astype(units.dtype), price)
    units[unknown] = 0
    return units, unknown


def _rate(price: HourlyPrice) -> tuple[int, int]:
    """Return dollars per hour as a fraction."""
    with localcontext(prec=DIGITS):
        return price.per_hour.as_integer_ratio()


def _picodollars(nanos: Units, price: HourlyPrice) -> Units:
    """Return nanoseconds x dollars per hour, to the nearest picodollar, ties to even.

    1e-9 s x dollars / 3600 s in units of 1e-12 dollars is 5 / 18.
    """
    above, below = _rate(price)
    number, part = 5 * above * nanos, 18 * below
    whole, rest = number // part, number % part
    up = (2 * rest > part) | ((2 * rest == part) & (whole % 2 == 1))
    rounded: Units = whole + up.astype(whole.dtype)
    return rounded


def _odd(lines: EngineTime, line: int, prices: Sequence[HourlyPrice | None]) -> Decimal | None:
    code = int(lines.group[line])
    price, (seconds, dollars) = prices[code], lines.odd[line]
    if price is None or seconds is None:
        return None
    if price.id == lines.groups[code][2]:
        return dollars
    return machine_cost(exact_seconds(seconds), price)


def _engine_bill(
    lines: EngineTime,
    chosen: NDArray[np.intp],
    costs: tuple[Units, NDArray[np.bool_], dict[int, Decimal]],
    attempts: int,
) -> Bill:
    units, unknown, known = costs
    mine = chosen[lines.attempt[chosen] >= 0]
    place = lines.attempt[mine]
    extra: dict[int, Decimal] = {}
    for line in set(known).intersection(mine.tolist()):
        at = int(lines.attempt[line])
        extra[at] = extra.get(at, Decimal(0)) + known[line]
    return Bill(
        units=_added(units[mine], place, attempts),
        scale=PICO,
        billed=_any(place, attempts),
        unknown=_any(place[unknown[mine]], attempts),
        extra=extra,
    )


def _added(units: Units, place: NDArray[np.intp], attempts: int) -> Units:
    total = np.zeros(attempts, dtype=units.dtype)
    np.add.at(total, place, units)
    return total


def _any(place: NDArray[np.intp], attempts: int) -> NDArray[np.bool_]:
    found = np.zeros(attempts, dtype=np.bool_)
    found[place] = True
    return found


def total(units: Units, scale: int) -> Decimal:
    """Add up whole numbers without a limit."""
    if units.dtype == object:
        number = int(sum(units.tolist()))
    else:
        number = (int((units >> 32).sum()) << 32) + int((units & 0xFFFFFFFF).sum())
    with localcontext(prec=DIGITS):
        return Decimal(number).scaleb(-scale)
