from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from qbench.benchmarks.chat import TokenUsage
from qbench.service.attribution import (
    NANOSECOND,
    billed_seconds,
    busy_shares,
    engine_dollars,
    engine_lines,
    reprice,
)
from qbench.service.domain import AttemptWork, EngineSeconds, LedgerLine, Limits
from qbench.service.money import (
    QUANTUM,
    MachinePrice,
    Rates,
    Spending,
    TokenPrice,
    exact_seconds,
    machine_cost,
    token_cost,
)

quick = settings(max_examples=50, deadline=None)

AT = datetime(2026, 11, 24, tzinfo=UTC)
counts = st.integers(0, 10**7)
rate = st.decimals("0", "200", places=4, allow_nan=False)
maybe_rate = st.none() | rate


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    fresh, cached, write, spoken, reasoning = (draw(counts) for _ in range(5))
    return TokenUsage(
        prompt_tokens=fresh + cached + write,
        cached_tokens=cached,
        cache_write_tokens=write,
        completion_tokens=spoken + reasoning,
        reasoning_tokens=reasoning,
    )


flat_rates = st.builds(
    Rates,
    input=rate,
    output=rate,
    cached_input=maybe_rate,
    cache_write=maybe_rate,
    reasoning=maybe_rate,
)
prices = st.builds(TokenPrice, name=st.just("m"), rates=flat_rates, source=st.just("https://x"))
machines = st.builds(
    MachinePrice,
    name=st.just("g"),
    hardware=st.just("g"),
    commitment=st.just("on-demand"),
    per_unit=rate,
    units=st.integers(1, 64),
    provider=st.just("p"),
    source=st.just("https://x"),
    checked=st.just(date(2026, 1, 1)),
    valid_from=st.just(date(2026, 1, 1)),
)
span = st.floats(0, 1e5, allow_nan=False, allow_subnormal=False)
sessions = st.builds(
    EngineSeconds,
    load=span,
    busy=span,
    idle=span,
    prefill=st.none() | span,
    decode=st.none() | span,
)
served = st.lists(
    st.builds(
        AttemptWork,
        attempt_id=st.just("a"),
        uncached_prompt_tokens=st.none() | counts,
        completion_tokens=st.none() | counts,
    ),
    min_size=1,
    max_size=30,
)


def scaled(price: TokenPrice, factor: int) -> TokenPrice:
    values = msgspec.structs.asdict(price.rates)
    more = {name: None if value is None else value * factor for name, value in values.items()}
    return replace(price, rates=msgspec.convert(more, Rates))


@quick
@given(usages(), usages(), prices)
def test_cost_is_additive_in_usage(one: TokenUsage, other: TokenUsage, price: TokenPrice) -> None:
    together = token_cost(one + other, price)
    assert isinstance(together, Decimal)
    assert token_cost(one, price) + token_cost(other, price) == together


@quick
@given(usages(), prices, st.integers(0, 1000))
def test_scaling_all_rates_scales_the_cost(
    usage: TokenUsage, price: TokenPrice, factor: int
) -> None:
    assert token_cost(usage, scaled(price, factor)) == factor * token_cost(usage, price)


@quick
@given(usages(), usages(), prices)
def test_more_tokens_never_cost_less(
    usage: TokenUsage, more: TokenUsage, price: TokenPrice
) -> None:
    assert token_cost(usage + more, price) >= token_cost(usage, price) >= 0


@quick
@given(usages(), prices)
def test_no_attempt_within_its_limits_costs_more_than_its_bound(
    usage: TokenUsage, price: TokenPrice
) -> None:
    limits = Limits(tokens=usage.prompt_tokens + usage.completion_tokens)
    assert token_cost(usage, price) <= Spending.of_api(limits, price).per_attempt


@quick
@given(usages(), prices)
def test_missing_rates_are_never_taken_for_free(usage: TokenUsage, price: TokenPrice) -> None:
    bare = replace(price, rates=Rates(input=price.rates.input, output=price.rates.output))
    rates = price.rates
    full = Rates(
        input=rates.input,
        output=rates.output,
        cached_input=rates.input,
        cache_write=rates.input,
        reasoning=rates.output,
    )
    assert token_cost(usage, bare) == token_cost(usage, replace(price, rates=full))


@quick
@given(sessions, served, machines)
def test_lines_add_up_to_the_engines_cost_and_seconds_exactly(
    seconds: EngineSeconds, work: list[AttemptWork], price: MachinePrice
) -> None:
    lines = engine_lines(seconds, work, price, at=AT)
    assert len(lines) == 2 * len(work)
    for basis in ("saturated", "dedicated"):
        mine = [line for line in lines if line.basis == basis]
        assert len(mine) == len(work)
        assert sum(line.dollars or 0 for line in mine) == engine_dollars(
            seconds, mine[0].basis, price
        )
        times = [exact_seconds(line.seconds or 0.0) for line in mine]
        assert sum(times, Decimal(0)).quantize(NANOSECOND) == billed_seconds(seconds, mine[0].basis)
        assert min(times) >= 0


@quick
@given(sessions, served)
def test_shares_are_parts_of_one_and_follow_work(
    seconds: EngineSeconds, work: list[AttemptWork]
) -> None:
    shares = busy_shares(seconds, work)
    assert sum(shares) == 1
    assert min(shares) >= 0
    for one, one_share in zip(work, shares, strict=True):
        for other, other_share in zip(work, shares, strict=True):
            if _does_at_most(one, other):
                assert one_share <= other_share


def _does_at_most(one: AttemptWork, other: AttemptWork) -> bool:
    mine = (one.uncached_prompt_tokens, one.completion_tokens)
    theirs = (other.uncached_prompt_tokens, other.completion_tokens)
    if None in mine or None in theirs:
        return False
    return all(
        a is not None and b is not None and a <= b for a, b in zip(mine, theirs, strict=True)
    )


@quick
@given(sessions, served, machines)
def test_dedicated_never_costs_less_than_saturated(
    seconds: EngineSeconds, work: list[AttemptWork], price: MachinePrice
) -> None:
    lines = engine_lines(seconds, work, price, at=AT)
    half = len(work)
    for saturated, dedicated in zip(lines[:half], lines[half:], strict=True):
        assert (dedicated.dollars or 0) + QUANTUM >= (saturated.dollars or 0)


@quick
@given(sessions, served, machines, machines)
def test_repricing_agrees_with_pricing_afresh(
    seconds: EngineSeconds, work: list[AttemptWork], old: MachinePrice, new: MachinePrice
) -> None:
    before = engine_lines(seconds, work, old, at=AT)
    fresh = engine_lines(seconds, work, new, at=AT)
    for line, expected in zip(before, fresh, strict=True):
        again = reprice(line, new)
        assert again.price_id == expected.price_id
        assert abs(_dollars(again) - _dollars(expected)) <= _nanosecond_of(new)


def _dollars(line: LedgerLine) -> Decimal:
    assert isinstance(line.dollars, Decimal)
    return line.dollars


def _nanosecond_of(price: MachinePrice) -> Decimal:
    return machine_cost(NANOSECOND, price) + 2 * QUANTUM
