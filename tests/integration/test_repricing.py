"""Re-pricing: what was booked at the same prices, what another day costs at others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from qbench.benchmarks.chat import Timing
from qbench.benchmarks.transcript import Transcript
from qbench.benchmarks.usage import token_usage
from qbench.service.attribution import api_lines
from qbench.service.domain import Controls, System
from qbench.service.money import Rates, Tier
from qbench.service.plan import Plan
from qbench.service.pricebook import Machine, MachineRate, Model, ModelRate, PriceBook
from qbench.service.reports.history.report import history_of
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import to_json
from qbench.service.repricing import reprice
from qbench.service.schedules import Recurring
from qbench.service.store import Recorded, Store
from qbench.workers.steps import execute
from tests.integration.made import attempt, create, errored, request, system, turn
from tests.integration.recurring import World
from tests.integration.test_steps import Log

DAY = date(2026, 3, 1)
LATER = date(2026, 6, 1)
API = System(model="openai/tiny", format="native", engine="api")


def machine_rate(dollars: int, since: date) -> MachineRate:
    return MachineRate(
        dollars_per_hour=Decimal(dollars),
        provider="us",
        source="own: test",
        checked=since,
        valid_from=since,
    )


def model_rate(scale: int, since: date) -> ModelRate:
    rates = Rates(input=Decimal(2 * scale), output=Decimal(6 * scale), cached_input=Decimal(scale))
    return ModelRate(
        rates=rates,
        tiers=(Tier(above=1000, rates=replace(rates, input=Decimal(5 * scale))),),
        per_request=Decimal("0.0001") * scale,
        source="own: test",
        checked=since,
        valid_from=since,
    )


PRICES = PriceBook(
    machines=(
        Machine(
            name="box",
            prices=(machine_rate(3600, date(2020, 2, 1)), machine_rate(7200, date(2021, 1, 1))),
        ),
    ),
    models=(
        Model(name="openai/tiny", prices=(model_rate(1, date(2026, 1, 1)), model_rate(3, LATER))),
    ),
)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def call(raw: dict[str, Any]) -> Any:
    at = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    timing = Timing(started_at=at, e2el_s=0.1)
    return turn(usage=token_usage(raw), raw_usage=raw, timing=timing)


def bill(store: Store, plan: Plan, usages: list[list[dict[str, Any]]]) -> None:
    """Save one attempt per list of calls, booked as the workers book it."""
    [shard] = plan.shards
    batch = []
    for n, calls in enumerate(usages):
        turns = tuple(call(raw) for raw in calls)
        transcript = Transcript(messages=(), turns=turns, answer="3", seconds=0.5)
        made = attempt(shard, n, transcript=transcript)
        lines = api_lines(made, lambda at: PRICES.model_price("openai/tiny", at))
        batch.append(Recorded(attempt=made, lines=tuple(lines)))
    store.append(batch)


def plain(board: Any) -> Any:
    made = msgspec.json.decode(to_json(board))
    del made["made_at"]
    return made


usage: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "prompt_tokens": st.integers(0, 3000),
            "completion_tokens": st.integers(0, 500),
            "prompt_tokens_details": st.fixed_dictionaries({"cached_tokens": st.integers(0, 200)}),
        }
    ),
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(usage, max_size=3), min_size=1, max_size=10))
def test_unchanged_prices_give_what_was_booked(
    store: Store, usages: list[list[dict[str, Any]]]
) -> None:
    plan = create(store, request([API]))
    bill(store, plan, usages)
    found = reprice(store, plan.run.id, PRICES, DAY)
    assert found.paid == found.paid_before
    assert plain(found.leaderboard) == plain(leaderboard_of(store, plan.run.id))


def test_another_days_prices_go_call_by_call_by_tier_and_leave_the_ledger_alone(
    store: Store,
) -> None:
    plan = create(store, request([API], limit=1))
    short = {"prompt_tokens": 100, "completion_tokens": 10}
    long = {"prompt_tokens": 2000, "completion_tokens": 10}
    bill(store, plan, [[short, long]])
    before = list(store.ledger(plan.run.id))
    found = reprice(store, plan.run.id, PRICES, LATER)
    micro = 100 * 6 + 2000 * 15 + 20 * 18
    assert found.paid == Decimal(micro).scaleb(-6) + Decimal("0.0006")
    assert found.paid_before == found.paid / 3
    [change] = found.changes
    assert change.before == pytest.approx(float(found.paid) / 3)
    assert change.after == pytest.approx(float(found.paid))
    assert [used.valid_from for used in found.prices] == [LATER]
    assert list(store.ledger(plan.run.id)) == before


def test_what_is_unpriced_on_that_day_stays_unknown(store: Store) -> None:
    plan = create(store, request([API], limit=2))
    known = {"prompt_tokens": 100, "completion_tokens": 10}
    bill(store, plan, [[known], [{}]])
    found = reprice(store, plan.run.id, PRICES, DAY)
    assert found.paid is None
    assert found.leaderboard.rows[0].validity.unpriced == 1
    long_ago = reprice(store, plan.run.id, PRICES, date(2020, 1, 1))
    assert long_ago.leaderboard.rows[0].cost is None
    assert long_ago.leaderboard.rows[0].validity.unpriced == 2


def test_what_superseded_attempts_spent_is_paid_at_the_new_prices_too(store: Store) -> None:
    plan = create(store, request([API], limit=1))
    [shard] = plan.shards
    raw = {"prompt_tokens": 100, "completion_tokens": 10}
    transcript = Transcript(messages=(), turns=(call(raw),), answer="", seconds=0.5)
    dead = replace(errored(shard), transcript=transcript)
    lines = api_lines(dead, lambda at: PRICES.model_price("openai/tiny", at))
    store.append([Recorded(attempt=dead, lines=tuple(lines))])
    bill(store, plan, [[raw]])
    found = reprice(store, plan.run.id, PRICES, LATER)
    assert found.paid_before == store.paid(plan.run.id)
    assert found.paid == 3 * store.paid(plan.run.id)


async def test_engine_seconds_are_priced_again(store: Store) -> None:
    systems = [system("bf16"), system("fp8", accuracy=0.5)]
    plan = create(store, request(systems, limit=6), Controls(hardware="box", concurrency=4))
    await execute(plan.run, store, PRICES, Log())
    today = datetime.now(UTC).date()
    for basis in ("saturated", "dedicated"):
        same = reprice(store, "last", PRICES, today, basis)
        assert same.paid == store.paid(plan.run.id)
        assert plain(same.leaderboard) == plain(leaderboard_of(store, "last", basis))
        cheap = reprice(store, "last", PRICES, date(2020, 6, 1), basis)
        for change in cheap.changes:
            assert change.before == pytest.approx(2 * (change.after or 0), rel=1e-6)
    assert reprice(store, "last", PRICES, date(2020, 1, 1)).paid is None


def test_a_schedule_keeps_a_snapshot_of_each_run_once(store: Store) -> None:
    world = World(store)
    runs = [world.night().run_id for _ in range(2)]
    weekly = Recurring(name="weekly", cron="0 5 * * 1", act="reprice", newest=5)
    world = World(store, weekly)
    world.clock.sleep(days=7)
    world.beat()
    world.beat()
    firing = world.newest
    assert firing.state == "done"
    assert {one.run_id for one in store.snapshots([r for r in runs if r])} == set(runs)
    history = history_of(store, schedule="weekly")
    assert [one.as_of.date() for one in history.snapshots] == [firing.due_at.date()] * 2
    assert sorted(firing.found.snapshots) == sorted(one.snapshot for one in history.snapshots)
