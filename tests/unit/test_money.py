from __future__ import annotations

from datetime import date
from decimal import Decimal, localcontext

import msgspec
import pytest
from msgspec.structs import replace

from qbench.benchmarks.chat import TokenUsage
from qbench.errors import EngineReplyInvalid
from qbench.service.domain import Limits
from qbench.service.money import (
    Disagreement,
    MachinePrice,
    Rates,
    Spending,
    Tier,
    TokenPrice,
    assumptions,
    exact_seconds,
    machine_cost,
    token_cost,
)

D = Decimal


def priced(
    input: str,  # noqa: A002 - the field's name
    cached: str | None = None,
    output: str = "0",
    write: str | None = None,
    tiers: tuple[Tier, ...] = (),
) -> TokenPrice:
    rates = Rates(
        input=D(input),
        cached_input=None if cached is None else D(cached),
        output=D(output),
        cache_write=None if write is None else D(write),
    )
    return TokenPrice(name="a/b", rates=rates, tiers=tiers, source="https://example.org")


def used(
    prompt: int, output: int = 0, *, cached: int = 0, write: int = 0, reasoning: int = 0
) -> TokenUsage:
    return TokenUsage(
        prompt_tokens=prompt,
        cached_tokens=cached,
        cache_write_tokens=write,
        completion_tokens=output,
        reasoning_tokens=reasoning,
    )


MACHINE = MachinePrice(
    name="cpu",
    hardware="cpu-2core",
    commitment="on-demand",
    per_unit=D("0.045"),
    units=2,
    provider="AWS",
    source="https://example.org",
    checked=date(2026, 10, 9),
    valid_from=date(2026, 10, 9),
)

# Usage bodies and bills of other projects' bug reports, with the rates those name.
GOLDEN = {
    "gpt-5, cached prompt": (
        used(9126, 3197, cached=4864),
        priced("1.25", "0.125", "10"),
        "0.0379055",
    ),
    "Fireworks, all but one token cached": (
        used(27147, 351, cached=27146),
        priced("1.4", "0.26", "4.4"),
        "0.00860376",
    ),
    "Gemini 2.5 Pro, flat rates": (
        used(262960, 1744, cached=257955),
        priced("1.25", "0.625", "10"),
        "0.184918125",
    ),
    "OpenAI, reasoning is part of the completion": (
        used(14746, 1944, reasoning=1360),
        priced("30", None, "180"),
        "0.7923",
    ),
    "Anthropic, cache write only": (
        used(1000, write=1000),
        priced("3", "0.3", "15", "3.75"),
        "0.00375",
    ),
    "partly reasoning, billed 977 once": (
        used(0, 977, reasoning=768),
        priced("0", None, "1"),
        "0.000977",
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_bills_are_met_exactly(case: str) -> None:
    usage, price, dollars = GOLDEN[case]
    assert token_cost(usage, price) == D(dollars)


def test_long_prompt_pays_its_tier_for_all_tokens() -> None:
    long = Tier(above=200_000, rates=Rates(input=D("2.5"), cached_input=D("0.25"), output=D(15)))
    price = priced("1.25", "0.125", "10", tiers=(long,))
    assert token_cost(used(200_000), price) == D("0.25")
    assert token_cost(used(200_001), price) == D("0.5000025")
    trap = used(262_960, 1744, cached=257_955)
    assert token_cost(trap, price) == D("0.10316125")
    assert token_cost(trap, priced("1.25", "0.125", "10")) == D("0.055940625")


def test_highest_tier_passed_applies_whatever_the_order() -> None:
    low, high = (Tier(above=n, rates=Rates(input=D(n), output=D(n))) for n in (10, 20))
    price = priced("1", tiers=(high, low))
    assert [price.rates_at(n).input for n in (10, 11, 20, 21)] == [1, 10, 10, 20]


def test_missing_cached_rate_is_the_input_rate_and_is_named() -> None:
    usage = used(100, cached=60, write=30)
    assert token_cost(usage, priced("2")) == D("0.0002")
    assert assumptions(usage, priced("2")) == ("cached_at_input", "cache_write_at_input")
    assert assumptions(usage, priced("2", "1", "0", "3")) == ()
    assert assumptions(used(100), priced("2")) == ()


def test_reasoning_rate_applies_only_where_there_is_one() -> None:
    price = priced("0", None, "10")
    assert token_cost(used(0, 100, reasoning=40), price) == D("0.001")
    own = replace(price, rates=replace(price.rates, reasoning=D(3)))
    assert token_cost(used(0, 100, reasoning=40), own) == D("0.00072")


def test_price_per_request_is_added_to_each_call() -> None:
    assert token_cost(used(0), replace(priced("1"), per_request=D("0.005"))) == D("0.005")


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (used(3, cached=5), "5 cached and cache-write tokens in 3 prompt tokens"),
        (used(10, cached=6, write=5), "11 cached and cache-write tokens in 10 prompt tokens"),
        (used(1, 2, reasoning=3), "3 reasoning tokens in 2 completion tokens"),
        (used(-1), "negative token count"),
        (used(5, 0, cached=-1), "negative token count"),
    ],
)
def test_impossible_usage_is_refused_by_name(usage: TokenUsage, words: str) -> None:
    with pytest.raises(EngineReplyInvalid, match=words):
        token_cost(usage, priced("1"))


def test_cost_is_exact_whatever_the_callers_precision() -> None:
    usage, price, dollars = GOLDEN["gpt-5, cached prompt"]
    with localcontext(prec=2):
        assert token_cost(usage, price) == D(dollars)


def test_machine_costs_by_the_second_devices_included() -> None:
    assert machine_cost(D(3600), MACHINE) == D("0.09")
    assert machine_cost(D(7), MACHINE) == D("0.000175")
    assert machine_cost(D(1), replace(MACHINE, units=7)) == D("0.0000875")
    assert machine_cost(D(1), replace(MACHINE, per_unit=D(1), units=1)) == D("0.000277777778")
    assert exact_seconds(0.1) == D("0.1")


def test_helm_worked_example_davinci_on_eight_a100() -> None:
    node = replace(MACHINE, per_unit=D("4.096"), units=8)
    assert machine_cost(D("5.282"), node).quantize(D("0.00001")) == D("0.04808")


def test_price_id_follows_the_numbers_and_not_the_paperwork() -> None:
    price = priced("1", "0.5", "2")
    checked = replace(
        price,
        checked=date(2026, 1, 1),
        disagreements=(Disagreement(rate="input", used=D(1), other=D(2), other_origin="x"),),
    )
    assert checked.id == price.id
    assert replace(price, rates=replace(price.rates, output=D(3))).id != price.id
    assert replace(MACHINE, checked=date(2027, 1, 1), note="again").id == MACHINE.id
    assert replace(MACHINE, units=4).id != MACHINE.id
    assert replace(MACHINE, commitment="spot").id != MACHINE.id


def test_prices_survive_json_as_decimals() -> None:
    price = priced("0.0375", "0.1", "2")
    assert msgspec.json.decode(msgspec.json.encode(price), type=TokenPrice) == price
    assert msgspec.json.decode(msgspec.json.encode(MACHINE), type=MachinePrice) == MACHINE


def test_api_attempt_is_bounded_by_its_limits() -> None:
    price = replace(priced("1", "0.1", "10"), per_request=D("0.01"))
    limits = Limits(tokens=1000, turns=3)
    assert Spending.of_api(limits, price).per_attempt == D("0.04")
    assert Spending.of_api(replace(limits, dollars=D("0.02")), price).per_attempt == D("0.02")
    tier = Tier(above=500, rates=Rates(input=D(2), output=D(20)))
    assert Spending.of_api(limits, replace(price, tiers=(tier,))).per_attempt == D("0.05")


def test_spending_adds_attempts_in_flight_and_engine_seconds() -> None:
    api = Spending(per_attempt=D("0.04"))
    machine = Spending.of_machine(MACHINE)
    assert api.at_most(attempts=16) == D("0.64")
    assert machine.per_second == D("0.000025")
    assert machine.at_most(attempts=16, seconds=12.5) == D("0.0003125")
