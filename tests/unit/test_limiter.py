from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.workers.limiter import AdaptiveLimit, AdaptiveRule, FixedLimit, Gate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def clean_round(limit: AdaptiveLimit) -> None:
    for _ in range(max(limit.limit, 4)):
        limit.succeeded(limit.limit)


def test_the_constants_are_those_that_hold_across_providers() -> None:
    rule = AdaptiveRule()
    assert (rule.least, rule.start, rule.most) == (10, 20, 100)
    assert (rule.saturation, rule.cut, rule.growth, rule.cooldown_s) == (0.8, 0.8, 0.05, 15.0)
    assert AdaptiveRule.up_to(4) == AdaptiveRule(least=4, start=4, most=4)
    assert AdaptiveRule.up_to(16) == AdaptiveRule(least=10, start=16, most=16)


def test_slow_start_doubles_per_clean_round_up_to_the_ceiling() -> None:
    limit = AdaptiveLimit()
    seen = []
    for _ in range(4):
        seen.append(limit.limit)
        clean_round(limit)
    assert seen == [20, 40, 80, 100]


def test_a_round_that_did_not_use_the_limit_does_not_grow_it() -> None:
    limit = AdaptiveLimit()
    for _ in range(100):
        limit.succeeded(15)  # below 80 % of 20
    assert limit.limit == 20
    for _ in range(20):
        limit.succeeded(16)
    assert limit.limit == 40


def test_a_429_cuts_by_a_fifth_and_ends_slow_start() -> None:
    clock = Clock()
    limit = AdaptiveLimit(AdaptiveRule(start=100), clock=clock)
    limit.rate_limited(None)
    assert limit.limit == 80
    clock.now += 15
    clean_round(limit)
    assert limit.limit == 84


def test_a_burst_of_429s_cuts_once_and_prolongs_the_cooldown() -> None:
    clock = Clock()
    limit = AdaptiveLimit(AdaptiveRule(start=100), clock=clock)
    for _ in range(30):
        limit.rate_limited(None)
        clock.now += 1
    assert limit.limit == 80
    clock.now += 14
    limit.rate_limited(None)
    assert limit.limit == 64


def test_retry_after_sets_the_cooldown_and_successes_within_it_do_not_count() -> None:
    clock = Clock()
    limit = AdaptiveLimit(AdaptiveRule(start=100), clock=clock)
    limit.rate_limited(40.0)
    clock.now += 39
    clean_round(limit)
    assert limit.limit == 80
    clock.now += 1
    clean_round(limit)
    assert limit.limit == 84


def test_trouble_begins_the_round_anew_and_does_not_cut() -> None:
    limit = AdaptiveLimit()
    for _ in range(19):
        limit.succeeded(20)
    limit.troubled()
    limit.succeeded(20)
    assert limit.limit == 20


@given(
    rule=st.builds(AdaptiveRule.up_to, st.integers(1, 300)),
    events=st.lists(st.sampled_from(["ok", "429", "5xx", "wait"]), max_size=300),
)
def test_the_limit_never_leaves_its_bounds(rule: AdaptiveRule, events: list[str]) -> None:
    clock = Clock()
    limit = AdaptiveLimit(rule, clock=clock)
    for event in events:
        if event == "ok":
            limit.succeeded(limit.limit)
        elif event == "429":
            limit.rate_limited(None)
        elif event == "5xx":
            limit.troubled()
        else:
            clock.now += 16
        assert rule.least <= limit.limit <= rule.most


def test_a_fixed_limit_stays_and_must_let_something_through() -> None:
    fixed = FixedLimit(3)
    fixed.rate_limited(None)
    fixed.troubled()
    fixed.succeeded(3)
    assert fixed.limit == 3
    with pytest.raises(ValueError, match="lets nothing through"):
        FixedLimit(0)


async def test_the_gate_admits_in_order_and_never_more_than_the_limit() -> None:
    gate, order, most = Gate(FixedLimit(2)), [], 0

    async def request(number: int) -> None:
        nonlocal most
        await gate.enter()
        most = max(most, gate.in_flight)
        order.append(number)
        await asyncio.sleep(0)
        gate.leave()

    await asyncio.gather(*(request(n) for n in range(10)))
    assert order == list(range(10))
    assert most == 2
    assert gate.in_flight == 0


@pytest.mark.parametrize("admitted", [False, True])
async def test_cancelling_a_waiter_loses_no_place(admitted: bool) -> None:
    gate = Gate(FixedLimit(1))
    await gate.enter()
    waiter = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    if admitted:
        gate.leave()  # the place is given to the waiter, who never gets to know
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    if not admitted:
        gate.leave()
    assert gate.in_flight == 0
    await asyncio.wait_for(gate.enter(), 1)


async def test_a_cut_holds_requests_back_until_enough_have_left() -> None:
    policy = AdaptiveLimit(AdaptiveRule(least=1, start=5))
    gate = Gate(policy)
    for _ in range(5):
        await gate.enter()
    policy.rate_limited(None)  # 5 -> 4
    waiter = asyncio.create_task(gate.enter())
    gate.leave()
    await asyncio.sleep(0)
    assert not waiter.done()
    gate.leave()
    await waiter
    assert gate.in_flight == 4
