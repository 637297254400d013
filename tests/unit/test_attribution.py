from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec.structs import replace

from qbench.benchmarks.chat import Message, Timing, TokenUsage, Turn
from qbench.benchmarks.transcript import Transcript
from qbench.service.attribution import (
    DECODE_WEIGHT,
    allot,
    api_lines,
    billed_seconds,
    busy_shares,
    engine_dollars,
    engine_lines,
    reprice,
)
from qbench.service.domain import Attempt, AttemptStatus, AttemptWork, EngineSeconds, LedgerLine
from qbench.service.money import QUANTUM, MachinePrice, Rates, TokenPrice, exact_seconds

D = Decimal
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECONDS = EngineSeconds(load=10, busy=60, idle=30, prefill=20, decode=40)
PRICE = MachinePrice(
    name="gpu",
    hardware="gpu",
    commitment="on-demand",
    per_unit=D("3.6"),
    units=1,
    provider="x",
    source="https://example.org",
    checked=date(2026, 1, 1),
    valid_from=date(2026, 1, 1),
)


def work(*tokens: tuple[int | None, int | None]) -> list[AttemptWork]:
    return [
        AttemptWork(attempt_id=f"a{i}", uncached_prompt_tokens=prompt, completion_tokens=reply)
        for i, (prompt, reply) in enumerate(tokens)
    ]


def of_basis(lines: list[LedgerLine], basis: str) -> list[LedgerLine]:
    return [line for line in lines if line.basis == basis]


def test_prefill_goes_by_prompt_and_decode_by_completion() -> None:
    lines = engine_lines(SECONDS, work((300, 10), (100, 30)), PRICE, at=AT)
    saturated = of_basis(lines, "saturated")
    assert [line.seconds for line in saturated] == [25.0, 35.0]  # 15 + 10 and 5 + 30
    assert [line.dollars for line in saturated] == [D("0.025"), D("0.035")]
    assert {line.price_id for line in lines} == {PRICE.id}
    assert {line.at for line in lines} == {AT}


def test_dedicated_spreads_load_and_idle_by_the_same_shares() -> None:
    lines = of_basis(engine_lines(SECONDS, work((300, 10), (100, 30)), PRICE, at=AT), "dedicated")
    assert sum(line.dollars or 0 for line in lines) == D("0.1")
    first, second = (line.dollars for line in lines)
    assert first is not None
    assert second is not None
    assert abs(first / second - D(25) / D(35)) < D("1e-9")


def test_without_a_split_a_generated_token_weighs_as_documented() -> None:
    shares = busy_shares(EngineSeconds(busy=5), work((100, 0), (0, 100)))
    assert shares == [Fraction(1, 1 + DECODE_WEIGHT), Fraction(DECODE_WEIGHT, 1 + DECODE_WEIGHT)]


def test_busy_time_that_is_neither_phase_goes_by_both() -> None:
    seconds = EngineSeconds(busy=10, prefill=4, decode=4)
    shares = busy_shares(seconds, work((100, 0), (0, 100)))
    assert shares == [Fraction(44, 100), Fraction(56, 100)]


def test_overlapping_phases_keep_their_proportion() -> None:
    seconds = EngineSeconds(busy=10, prefill=10, decode=30)
    assert busy_shares(seconds, work((1, 0), (0, 1))) == [Fraction(1, 4), Fraction(3, 4)]


def test_unknown_usage_gets_an_equal_share_and_the_rest_goes_by_work() -> None:
    shares = busy_shares(SECONDS, work((None, None), (300, 30), (100, 10)))
    assert shares == [Fraction(1, 3), Fraction(1, 2), Fraction(1, 6)]


@pytest.mark.parametrize("tokens", [(0, 0), (None, None)])
def test_no_known_work_is_shared_equally(tokens: tuple[int | None, int | None]) -> None:
    assert busy_shares(SECONDS, work(tokens, tokens)) == [Fraction(1, 2)] * 2


def test_engine_that_was_never_busy_is_shared_by_tokens() -> None:
    lines = engine_lines(EngineSeconds(load=10), work((30, 0), (10, 0)), PRICE, at=AT)
    assert [line.dollars for line in of_basis(lines, "saturated")] == [0, 0]
    assert [line.dollars for line in of_basis(lines, "dedicated")] == [D("0.0075"), D("0.0025")]


def test_engine_that_served_nothing_has_a_cost_but_no_lines() -> None:
    assert engine_lines(SECONDS, [], PRICE, at=AT) == []
    assert engine_dollars(SECONDS, "dedicated", PRICE) == D("0.1")


def test_unpriced_machine_keeps_seconds_for_repricing() -> None:
    served = work((7, 3), (11, 5), (None, None))
    unpriced = engine_lines(SECONDS, served, None, at=AT)
    assert {line.dollars for line in unpriced} == {None}
    assert {line.price_id for line in unpriced} == {""}
    assert sum(exact_seconds(line.seconds or 0) for line in unpriced) == 160
    later = [reprice(line, PRICE) for line in unpriced]
    for line, fresh in zip(later, engine_lines(SECONDS, served, PRICE, at=AT), strict=True):
        assert line.dollars is not None
        assert fresh.dollars is not None
        assert line.price_id == PRICE.id
        assert abs(line.dollars - fresh.dollars) <= QUANTUM


def test_lines_without_seconds_are_not_repriced() -> None:
    line = LedgerLine(
        attempt_id="a", basis="api", dollars=D(1), usage=None, seconds=None, price_id="p", at=AT
    )
    assert reprice(line, PRICE) is line


def test_leftover_units_go_to_the_largest_remainders() -> None:
    thirds = [Fraction(1, 3)] * 3
    assert allot(D("0.10"), thirds, D("0.01")) == [D("0.04"), D("0.03"), D("0.03")]
    shares = [Fraction(1, 10), Fraction(19, 100), Fraction(71, 100)]
    assert allot(D("0.10"), shares, D("0.01")) == [D("0.01"), D("0.02"), D("0.07")]


def test_billed_seconds_by_basis() -> None:
    seconds = EngineSeconds(load=0.1, busy=0.2, idle=0.0000000004)
    assert billed_seconds(seconds, "saturated") == D("0.2")
    assert billed_seconds(seconds, "dedicated") == D("0.3")


def turn(usage: TokenUsage | None, minute: int = 0) -> Turn:
    return Turn(
        message=Message(role="assistant", content="x"),
        finish_reason="stop",
        timing=Timing(started_at=AT + timedelta(minutes=minute), e2el_s=1.0),
        usage=usage,
    )


def attempt(*turns: Turn) -> Attempt:
    return Attempt(
        id="a",
        run_id="r",
        system_id="s",
        sample_id="p",
        epoch=0,
        cell_id="c",
        endpoint_id="e",
        status=AttemptStatus.SCORED,
        started_at=AT,
        ended_at=AT,
        transcript=Transcript(messages=(), turns=turns),
    )


CHEAP, DEAR = (
    TokenPrice(name="m", rates=Rates(input=D(rate), output=D(10)), source="https://example.org")
    for rate in ("1", "2")
)
CALL = TokenUsage(prompt_tokens=1000, completion_tokens=100)


def test_calls_are_priced_one_by_one_and_added() -> None:
    priced = replace(CHEAP, per_request=D("0.5"))
    (line,) = api_lines(attempt(turn(CALL), turn(CALL, 1)), lambda _: priced)
    assert line.dollars == D("1.004")
    assert line.usage == CALL + CALL
    assert line.seconds is None
    assert (line.basis, line.price_id, line.at) == ("api", priced.id, AT)


def test_each_call_pays_the_price_in_force_when_it_was_made() -> None:
    change = AT + timedelta(minutes=5)
    calls = attempt(turn(CALL), turn(CALL, 9), turn(CALL, 10))
    lines = api_lines(calls, lambda at: CHEAP if at < change else DEAR)
    assert [(line.price_id, line.dollars) for line in lines] == [
        (CHEAP.id, D("0.002")),
        (DEAR.id, D("0.006")),
    ]
    assert lines[1].at == AT + timedelta(minutes=9)


@pytest.mark.parametrize("usage", [None, TokenUsage(prompt_tokens=1, cached_tokens=2)])
def test_unknown_or_impossible_usage_leaves_the_cost_unknown(usage: TokenUsage | None) -> None:
    (line,) = api_lines(attempt(turn(CALL), turn(usage, 1)), lambda _: CHEAP)
    assert line.dollars is None
    assert line.price_id == CHEAP.id


def test_unpriced_model_is_unpriced_and_not_free() -> None:
    (line,) = api_lines(attempt(turn(CALL)), lambda _: None)
    assert line.dollars is None
    assert line.usage == CALL
    assert line.price_id == ""


def test_attempt_without_a_completed_call_has_no_line() -> None:
    assert api_lines(attempt(), lambda _: CHEAP) == []
