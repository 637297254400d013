"""What engine time costs at any prices, by columns of whole numbers: exact, and fast.

Dollars are whole numbers of a small unit, so that a million attempts are priced by a few products
of integers and no digit is lost: engine seconds in picodollars, as ``machine_cost`` rounds them,
API tokens (``metered_calls``) in the unit in which all rates in force are whole. What does not fit
into 63 bits, or is no whole number of these units, is done in Decimal, line by line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbench.service.money import (
    HourlyPrice,
    exact_seconds,
    machine_cost,
)

Units = NDArray[Any]
"""Whole numbers: int64, or Python's own where those are too small."""

ROOM = 2**62
PICO = 12
NANO = 9
DIGITS = 80
ODD = -2
LONGEST = 19
"""Characters of an amount that fits into 63 bits as picodollars."""
MOST_NANOS = 10**15
"""Up to 15 digits a decimal and the float it prints as are one to one."""
EXACT_POWER = 22
"""10 to this power is exact in a float."""

EnginePriceOf = Callable[[str, str, str], HourlyPrice | None]
"""Price of an engine session on a basis, whose line was billed at a price of that id."""


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


Lines = tuple[
    Sequence[int], Sequence[tuple[str, str, str]], Sequence[float | None], Sequence[str | None]
]
"""Places of attempts, groups, seconds, and dollars in plain digits; all as long."""


def engine_time_of(parts: Iterable[Lines]) -> EngineTime:
    """Make columns of lines that are read part by part."""
    groups: defaultdict[tuple[str, str, str], int] = defaultdict(lambda: len(groups))
    odd: dict[int, tuple[float | None, Decimal | None]] = {}
    made: list[tuple[NDArray[Any], ...]] = []
    before = 0
    for places, keys, seconds, dollars in parts:
        took = np.array(seconds, dtype=np.float64)
        nanos, booked = _nanos(took), np.array([_pico(text) for text in dollars], dtype=np.int64)
        strange = (booked == ODD) | (~np.isnan(took) & (nanos < 0))
        for line in np.flatnonzero(strange).tolist():
            text = dollars[line]
            odd[before + line] = seconds[line], None if text is None else Decimal(text)
        nanos[strange], booked[strange] = -1, -1
        codes = np.fromiter(map(groups.__getitem__, keys), np.intp, len(keys))
        made.append((np.array(places, dtype=np.intp), codes, nanos, booked))
        before += len(keys)
    none: tuple[NDArray[Any], ...] = tuple(np.zeros(0, dtype=np.int64) for _ in range(4))
    attempt, group, nanos, booked = (
        np.concatenate(columns) for columns in zip(none, *made, strict=True)
    )
    return EngineTime(
        attempt=attempt.astype(np.intp),
        group=group.astype(np.intp),
        groups=tuple(groups),
        nanos=nanos,
        booked=booked,
        odd=odd,
    )


def _pico(text: str | None) -> int:
    """Return plain digits as picodollars; -1 for None, ``ODD`` where they are no such number."""
    if text is None:
        return -1
    if text[-13:-12] == "." and len(text) < LONGEST:  # as the ledger writes them
        return int(text[:-13] + text[-12:])
    whole, _, part = text.partition(".")
    if len(part) > PICO or len(whole) > LONGEST - 14 or not whole.isdigit():
        return ODD
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
        units=added(units[mine], place, attempts),
        scale=PICO,
        billed=touched(place, attempts),
        unknown=touched(place[unknown[mine]], attempts),
        extra=extra,
    )


def added(units: Units, place: NDArray[np.intp], attempts: int) -> Units:
    """Add units up by attempt."""
    total = np.zeros(attempts, dtype=units.dtype)
    np.add.at(total, place, units)
    return total


def touched(place: NDArray[np.intp], attempts: int) -> NDArray[np.bool_]:
    """Return which attempts occur among the places."""
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
