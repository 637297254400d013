from __future__ import annotations

import asyncio
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from qbench.workers.budget import Budget

CENTS = st.integers(0, 500).map(lambda n: Decimal(n) / 100)


def test_without_a_limit_everything_is_admitted() -> None:
    budget = Budget(None)
    assert all(budget.admit(Decimal(1000)) for _ in range(10))


def test_attempts_in_flight_count_against_the_limit() -> None:
    budget = Budget(Decimal("0.50"))
    assert budget.admit(Decimal("0.30"))
    assert not budget.admit(Decimal("0.30"))
    assert budget.reached


def test_a_settled_attempt_frees_what_it_did_not_use() -> None:
    budget = Budget(Decimal("0.50"))
    assert budget.admit(Decimal("0.30"))
    budget.settle(Decimal("0.30"), Decimal("0.01"), 1.0)
    assert budget.admit(Decimal("0.30"))
    assert budget.spent == Decimal("0.01")


async def test_an_attempt_waits_for_room_that_others_leave() -> None:
    budget = Budget(Decimal("0.50"))
    assert await budget.admitted(lambda: Decimal("0.40")) == Decimal("0.40")
    waiting = asyncio.create_task(budget.admitted(lambda: Decimal("0.30")))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.settle(Decimal("0.40"), Decimal("0.10"), 1.0)
    assert await waiting == Decimal("0.30")
    assert not budget.reached


async def test_no_room_with_nothing_in_flight_is_final() -> None:
    budget = Budget(Decimal("0.50"))
    assert await budget.admitted(lambda: Decimal("0.60")) is None
    assert budget.reached
    assert await budget.admitted(lambda: Decimal("0.01")) is None


async def test_those_who_wait_give_up_together() -> None:
    budget = Budget(Decimal("0.50"))
    await budget.admitted(lambda: Decimal("0.50"))
    waiting = [asyncio.create_task(budget.admitted(lambda: Decimal("0.20"))) for _ in range(3)]
    await asyncio.sleep(0)
    budget.settle(Decimal("0.50"), Decimal("0.40"), 1.0)
    assert await asyncio.gather(*waiting) == [None, None, None]


def test_a_local_engine_stops_while_its_longest_attempt_still_fits() -> None:
    now = [0.0]
    budget = Budget(Decimal(10), clock=lambda: now[0])
    budget.start_meter(Decimal(1))
    assert budget.admit()
    budget.settle(Decimal(0), Decimal(0), 4.0)
    now[0] = 5.0
    assert budget.admit()
    now[0] = 6.5
    assert not budget.admit()
    budget.stop_meter()
    assert budget.spent == Decimal("6.5")


@given(limit=CENTS, attempts=st.lists(st.tuples(CENTS, CENTS), max_size=30))
def test_honest_reserves_never_pass_the_limit(
    limit: Decimal, attempts: list[tuple[Decimal, Decimal]]
) -> None:
    budget = Budget(limit)
    flying = []
    for reserve, share in attempts:
        if budget.admit(reserve):
            flying.append((reserve, min(reserve, share)))
        if len(flying) > 3:
            reserved, cost = flying.pop(0)
            budget.settle(reserved, cost, 0.0)
    for reserved, cost in flying:
        budget.settle(reserved, cost, 0.0)
    assert budget.spent <= limit
