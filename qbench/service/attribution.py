"""Who pays for an engine's seconds: engine time and tokens become ledger lines.

A local engine serves many attempts at once, so its cost is shared out by the work each attempt
caused. Two bases are kept, as llm-d's ``cost_basis=usage|allocation``:

- ``saturated``: busy seconds x rate. What an attempt costs on a machine that always has work.
- ``dedicated``: load + busy + idle seconds x rate. What this run really paid. Attempts of A/A
  copies take part in the busy time only: else a baseline that is measured twice would look
  cheaper than a format that is measured once.

A third one, ``energy``, is the electricity of the busy seconds; nobody is paid on it.

Seconds and dollars are shared by largest remainder, so the lines add up to the total exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import lcm, prod

from msgspec.structs import replace

from qbench.benchmarks.chat import TokenUsage, Turn
from qbench.errors import EngineReplyInvalid
from qbench.service.domain import Attempt, AttemptWork, Basis, EngineSeconds, LedgerLine
from qbench.service.money import (
    QUANTUM,
    EnergyPrice,
    HourlyPrice,
    MachinePrice,
    TokenPrice,
    exact_seconds,
    machine_cost,
    token_cost,
)

DECODE_WEIGHT = 4
"""Prompt tokens that cost as much engine time as one generated token, where the engine does not
split its time itself. It is the ratio of GKE's inference cost recommender; over the 2,044 models
of genai-prices 0.2.3 the median of output to input price is 3.7 (quartiles 2 and 5). Formats and
batch sizes move it: an engine's own split is better."""

NANOSECOND = Decimal("1e-9")

PriceAt = Callable[[datetime], TokenPrice | None]
"""The price of a model that is in force at a moment."""


def engine_lines(
    seconds: EngineSeconds,
    work: Sequence[AttemptWork],
    price: MachinePrice | None,
    *,
    at: datetime,
    copies: Collection[str] = (),
) -> list[LedgerLine]:
    """Share an engine session among the attempts it served: two lines for each, one per basis.

    An attempt of unknown usage gets an equal share (one n-th). Without a price, dollars are None
    and the seconds are kept for ``reprice``. An engine that served nothing gives no lines here:
    see ``session_lines``. The lines carry no usage, which decides no cost here: the attempts
    have it.

    Args:
        seconds: of the whole session, on one machine.
        work: of every attempt the session served, errored ones too.
        price: of that machine, devices included; None when it has none.
        at: when the session started, which decides the price in force.
        copies: ids of the systems that are A/A copies.

    """
    if not work:
        return []
    weights = _weights(seconds, work)
    bases: tuple[Basis, ...] = ("saturated", "dedicated")
    shares = {"saturated": weights, "dedicated": _without_load(seconds, work, weights, copies)}
    return [
        line for basis in bases for line in _lines(basis, seconds, work, price, shares[basis], at)
    ]


def energy_lines(
    seconds: EngineSeconds, work: Sequence[AttemptWork], price: EnergyPrice | None, *, at: datetime
) -> list[LedgerLine]:
    """Share the electricity of an engine session as its busy seconds: a line for each attempt.

    The arguments are those of ``engine_lines``; without a price dollars are None.
    """
    if not work:
        return []
    return _lines("energy", seconds, work, price, _weights(seconds, work), at)


def session_lines(
    endpoint_id: str, seconds: EngineSeconds, price: MachinePrice | None, *, at: datetime
) -> list[LedgerLine]:
    """Bill an engine session that served no attempt: two lines, one per basis, on the run."""
    bases: tuple[Basis, ...] = ("saturated", "dedicated")
    return [
        LedgerLine(
            attempt_id="",
            endpoint_id=endpoint_id,
            basis=basis,
            dollars=None if price is None else engine_dollars(seconds, basis, price),
            usage=None,
            seconds=float(billed_seconds(seconds, basis)),
            price_id="" if price is None else price.id,
            at=at,
        )
        for basis in bases
    ]


def engine_dollars(seconds: EngineSeconds, basis: Basis, price: HourlyPrice) -> Decimal:
    """Return what the whole session costs on ``basis``."""
    return machine_cost(billed_seconds(seconds, basis), price)


def billed_seconds(seconds: EngineSeconds, basis: Basis) -> Decimal:
    """Return the seconds that ``basis`` pays for, to the nanosecond."""
    whole = basis == "dedicated"
    parts = [seconds.load, seconds.busy, seconds.idle] if whole else [seconds.busy]
    return sum((exact_seconds(part) for part in parts), Decimal(0)).quantize(NANOSECOND)


def busy_shares(seconds: EngineSeconds, work: Sequence[AttemptWork]) -> list[Fraction]:
    """Return each attempt's part of the busy time; the parts add up to one.

    Prefill seconds are split by prompt tokens that no cache served, decode seconds by generated
    tokens, and busy seconds that are neither by both, a generated one counting ``DECODE_WEIGHT``.
    """
    weights = _weights(seconds, work)
    whole = sum(weights)
    return [Fraction(weight, whole) for weight in weights]


def reprice(line: LedgerLine, price: HourlyPrice) -> LedgerLine:
    """Return a local ``line`` at another price, from the seconds it kept.

    Agrees with fresh ``engine_lines`` to what a nanosecond costs, for lines keep nanoseconds.
    Lines of tokens (``api``, ``others``) are returned as they are and made again from the calls:
    tiers go by call, and only the attempt knows its calls.
    """
    if line.basis in ("api", "others") or line.seconds is None:
        return line
    dollars = machine_cost(exact_seconds(line.seconds), price)
    return replace(line, dollars=dollars, price_id=price.id)


def api_lines(attempt: Attempt, price_at: PriceAt) -> list[LedgerLine]:
    """Price an attempt's calls, each by its own usage and time: one line per price in force.

    A line's dollars are None when a call's usage is unknown or impossible, or there is no price.
    An attempt without a completed call has no line: what a call that died cost is not known.
    """
    own = [turn for turn in attempt.transcript.turns if not turn.by]
    return _token_lines(attempt.id, [(price_at(turn.timing.started_at), turn) for turn in own])


def other_lines(attempt: Attempt, prices: Mapping[str, PriceAt | None]) -> list[LedgerLine]:
    """Price the calls that other models answered, each by the tariff of its model.

    Where a model has no price there is a line without dollars: unknown is never zero.
    """
    priced = []
    for turn in attempt.transcript.turns:
        if turn.by:
            price_at = prices.get(turn.by)
            priced.append((price_at(turn.timing.started_at) if price_at else None, turn))
    return _token_lines(attempt.id, priced, basis="others")


def _token_lines(
    attempt_id: str, priced: Sequence[tuple[TokenPrice | None, Turn]], basis: Basis = "api"
) -> list[LedgerLine]:
    by_id: dict[str, tuple[TokenPrice | None, list[Turn]]] = {}
    for price, turn in priced:
        key = "" if price is None else price.id
        by_id.setdefault(key, (price, []))[1].append(turn)
    return [_api_line(attempt_id, price, turns, basis) for price, turns in by_id.values()]


def _api_line(
    attempt_id: str, price: TokenPrice | None, turns: list[Turn], basis: Basis
) -> LedgerLine:
    costs = [call_dollars(turn.usage, price) for turn in turns]
    known = [cost for cost in costs if cost is not None]
    usages = [turn.usage for turn in turns if turn.usage is not None]
    return LedgerLine(
        attempt_id=attempt_id,
        basis=basis,
        dollars=sum(known, Decimal(0)) if len(known) == len(costs) else None,
        usage=sum(usages, TokenUsage()) if len(usages) == len(turns) else None,
        seconds=None,
        price_id="" if price is None else price.id,
        at=turns[0].timing.started_at,
    )


def call_dollars(usage: TokenUsage | None, price: TokenPrice | None) -> Decimal | None:
    """Price one call; None when usage or price is unknown, or the usage impossible."""
    if usage is None or price is None:
        return None
    try:
        return token_cost(usage, price)
    except EngineReplyInvalid:  # counters that contradict each other are as good as none
        return None


def _lines(
    basis: Basis,
    seconds: EngineSeconds,
    work: Sequence[AttemptWork],
    price: HourlyPrice | None,
    weights: list[int],
    at: datetime,
) -> list[LedgerLine]:
    times = _allot(billed_seconds(seconds, basis), weights, NANOSECOND)
    dollars: Sequence[Decimal | None] = [None] * len(work)
    if price is not None:
        dollars = _allot(engine_dollars(seconds, basis, price), weights, QUANTUM)
    return [
        LedgerLine(
            attempt_id=item.attempt_id,
            basis=basis,
            dollars=cost,
            usage=None,
            seconds=float(time),
            price_id="" if price is None else price.id,
            at=at,
        )
        for item, time, cost in zip(work, times, dollars, strict=True)
    ]


def _without_load(
    seconds: EngineSeconds,
    work: Sequence[AttemptWork],
    weights: list[int],
    copies: Collection[str],
) -> list[int]:
    """Return weights of the whole life in which copies take part in the busy time only.

    With weights w, W their sum over all and M over what is no copy: busy x w / W for everybody
    and (load + idle) x w / M for what is no copy, both times W x M, in nanoseconds.
    """
    alone = [0 if item.system_id in copies else w for item, w in zip(work, weights, strict=True)]
    whole, first = sum(weights), sum(alone)
    if first in (0, whole):
        return weights
    busy = int(billed_seconds(seconds, "saturated") / NANOSECOND)
    rest = int(billed_seconds(seconds, "dedicated") / NANOSECOND) - busy
    if not busy + rest:
        return weights
    pairs = zip(weights, alone, strict=True)
    return [busy * first * weight + rest * whole * own for weight, own in pairs]


def allot(total: Decimal, shares: Sequence[Fraction], unit: Decimal) -> list[Decimal]:
    """Split ``total`` into multiples of ``unit`` that add up to it exactly.

    Largest-remainder method: each gets its share rounded down, and the units left over go to the
    largest remainders (the first of equals).

    Args:
        total: a multiple of ``unit``, not negative.
        shares: not negative, adding up to one.
        unit: a power of ten.

    """
    return _allot(total, _integers(shares), unit)


def _allot(total: Decimal, weights: Sequence[int], unit: Decimal) -> list[Decimal]:
    """Do ``allot`` by integer weights: a session of a million attempts is billed in seconds."""
    units, whole = int(total / unit), sum(weights)
    pairs = [divmod(units * weight, whole) for weight in weights]
    parts = [part for part, _ in pairs]
    order = sorted(range(len(parts)), key=lambda i: -pairs[i][1])
    for index in order[: units - sum(parts)]:
        parts[index] += 1
    return [part * unit for part in parts]


def _integers(shares: Sequence[Fraction]) -> list[int]:
    """Return integers in the same proportions."""
    scale = lcm(*(share.denominator for share in shares))
    return [share.numerator * (scale // share.denominator) for share in shares]


def _weights(seconds: EngineSeconds, work: Sequence[AttemptWork]) -> list[int]:
    """Return integers in the proportions of ``busy_shares``."""
    both = _split([_combined(item) for item in work])
    prefill, decode, rest = _integers(_pots(seconds))
    if prefill + decode + rest == 0:
        return both
    prompts = _split([item.uncached_prompt_tokens for item in work])
    replies = _split([item.completion_tokens for item in work])
    sums = sum(prompts), sum(replies), sum(both)
    p_scale, r_scale, b_scale = (
        part * (prod(sums) // own) for part, own in zip((prefill, decode, rest), sums, strict=True)
    )
    pots = zip(prompts, replies, both, strict=True)
    return [p_scale * p + r_scale * r + b_scale * b for p, r, b in pots]


def _split(tokens: list[int | None]) -> list[int]:
    """Return weights by count; equal ones for the unknown, and for all when all are 0.

    The unknown get one n-th each, the known share the rest by count: times n x total, these are
    integers.
    """
    known = [count for count in tokens if count is not None]
    total = sum(known)
    if total == 0:
        return [1] * len(tokens)
    return [total if count is None else len(known) * count for count in tokens]


def _combined(item: AttemptWork) -> int | None:
    if item.uncached_prompt_tokens is None or item.completion_tokens is None:
        return None
    return item.uncached_prompt_tokens + DECODE_WEIGHT * item.completion_tokens


def _pots(seconds: EngineSeconds) -> tuple[Fraction, Fraction, Fraction]:
    """Return prefill, decode and other busy seconds.

    Engines that overlap the two phases may report more than was busy: only proportions matter.
    """
    busy, prefill, decode = (
        Fraction(exact_seconds(part or 0.0))
        for part in (seconds.busy, seconds.prefill, seconds.decode)
    )
    return prefill, decode, max(busy - prefill - decode, Fraction(0))
