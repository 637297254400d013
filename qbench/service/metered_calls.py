"""What API calls used, as columns, and what they cost at any prices: exact, and fast.

Tokens are priced in the unit in which all rates in force are whole numbers.
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
from qbench.service.metered import DIGITS, ROOM, Bill, Units, added, touched
from qbench.service.money import Rates, TokenPrice, check_usage

PriceOf = Callable[[str, time], TokenPrice | None]
"""Price of a model at a minute of the day."""


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
        units=added(units, calls.attempt, attempts),
        scale=scale + 6,
        billed=touched(calls.attempt, attempts),
        unknown=touched(calls.attempt[unpriced], attempts),
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
