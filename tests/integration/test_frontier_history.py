"""The frontier over time: what new systems, new measurements and new prices do to it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from qbench.benchmarks.suite import Score
from qbench.cli.main import app
from qbench.errors import NotFound
from qbench.service.domain import Controls, RunStatus, System
from qbench.service.pricebook import PriceBook
from qbench.service.reports.cost.options import CostOptions
from qbench.service.reports.history.frontier import Ask, frontier_history
from qbench.service.reports.history.values import FrontierHistory
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from qbench.workers.steps import execute
from tests.integration.made import NOW, attempt, create, recorded, request, system
from tests.integration.test_repricing import PRICES, machine_rate
from tests.integration.test_steps import Log

SAMPLES = 6


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def measured(store: Store, one: System, passing: int, dollars: str | None) -> str:
    """Write a run of one system that passes the first so many samples."""
    plan = create(store, request([one], limit=SAMPLES))
    [shard] = plan.shards
    batch = []
    for n in range(SAMPLES):
        right = n < passing
        score = Score(status="scored", value=float(right), passed=right, scorer="s/1")
        batch.append(recorded(attempt(shard, n, score=score), dollars))
    store.append(batch)
    store.set_status(plan.run.id, RunStatus.DONE, NOW)
    return plan.run.id


def ask(**options: Any) -> Ask:
    expert = options.pop("expert", None)
    return Ask(options=CostOptions(expert=expert), **options)


def test_v_falls_when_a_cheaper_system_comes_and_rises_when_it_is_measured_worse(
    store: Store,
) -> None:
    old, new = system("bf16"), system("fp8")
    first = measured(store, old, 6, "0.10")
    measured(store, new, 3, "0.02")
    measured(store, new, 0, "0.02")
    found = frontier_history(store, first, PRICES, ask())
    assert [step.value.value for step in found.steps if step.value] == pytest.approx(
        [0.10, 0.06, 0.10]
    )
    assert [step.fall.value if step.fall else None for step in found.steps] == [
        None,
        pytest.approx(0.04),
        pytest.approx(-0.04),
    ]
    assert [step.systems for step in found.steps] == [1, 2, 2]
    assert [step.best for step in found.steps] == [
        new.label if n == 1 else old.label for n in range(3)
    ]
    assert "(no change)" in found.finding
    since = [step.since_first.value if step.since_first else None for step in found.steps]
    assert since == [None, pytest.approx(0.04), pytest.approx(0.0)]
    assert found.steps[1].entered == (new.label,)
    assert set(found.steps[1].undominated) == {old.label, new.label}
    assert (found.problems, found.runs, found.suite) == (SAMPLES, 3, "sums")
    assert found.finding.startswith("As booked, the frontier V went from $0.1 ")
    for step in found.steps:
        assert step.value is not None
        assert step.value.low <= step.value.value <= step.value.high
    assert from_json(to_json(found), FrontierHistory) == found


def test_an_unsolved_problem_costs_infinity_or_the_expert(store: Store) -> None:
    run = measured(store, system("bf16"), 4, "0.10")
    [step] = frontier_history(store, run, PRICES, ask()).steps
    assert step.value is not None
    assert math.isinf(step.value.value)
    assert step.solved == pytest.approx(4 / 6)
    assert step.best_cost is not None
    assert step.best_cost.value == pytest.approx(0.15)
    [step] = frontier_history(store, run, PRICES, ask(expert=Decimal(3))).steps
    assert step.value is not None
    assert step.value.value == pytest.approx((4 * 0.10 + 2 * 3) / 6)


def test_nobody_passed_and_nothing_is_priced_are_said(store: Store) -> None:
    run = measured(store, system("bf16"), 0, "0.10")
    found = frontier_history(store, run, PRICES, ask())
    assert found.steps[0].best == ""
    assert found.steps[0].solved == 0.0
    measured(store, system("fp8"), 5, None)
    found = frontier_history(store, run, PRICES, ask())
    assert found.steps[1].left_out == {system("fp8").label: "unpriced"}
    assert found.steps[1].systems == 1
    alone = create(store, request([system("int8")], limit=3))
    store.set_status(alone.run.id, RunStatus.DONE, NOW)
    empty = frontier_history(store, alone.run.id, PRICES, ask())
    assert empty.steps[0].value is None
    assert empty.finding.startswith("Nothing can be said")


def test_only_runs_of_the_same_samples_count_and_only_ended_ones(store: Store) -> None:
    run = measured(store, system("bf16"), 6, "0.10")
    other = create(store, request([system("fp8")], limit=3))
    with pytest.raises(NotFound):
        frontier_history(store, other.run.id, PRICES, ask())
    store.set_status(other.run.id, RunStatus.DONE, NOW)
    assert frontier_history(store, run, PRICES, ask()).runs == 1
    with pytest.raises(NotFound):
        frontier_history(store, "no such run", PRICES, ask())


async def test_a_price_cut_alone_moves_it(store: Store) -> None:
    plan = create(store, request([system("bf16")], limit=6), Controls(hardware="box"))
    await execute(plan.run, store, PRICES, Log())
    machine = PRICES.machines[0]
    dated = tuple(machine_rate(n, date(2020 + n, 1, 1)) for n in (4, 2, 1))
    book = PriceBook(machines=(replace(machine, prices=dated),), models=())
    found = frontier_history(store, plan.run.id, book, ask(prices=True))
    prices = [step for step in found.steps if step.why == "prices"]
    assert [step.at.date().year for step in prices] == [2021, 2022, 2024]
    assert all(step.came == ("box",) for step in prices)
    costs = [step.best_cost.value for step in prices if step.best_cost]
    assert costs == pytest.approx([costs[0], 2 * costs[0], 4 * costs[0]], rel=1e-4)
    assert "at other prices alone" in found.finding


def test_the_verb_prints_json_and_draws(tmp_path: Path) -> None:
    file = str(tmp_path / "some.db")
    with Store.open(file) as store:
        measured(store, system("bf16"), 6, "0.10")
        measured(store, system("fp8"), 3, "0.02")
    picture = tmp_path / "out.svg"
    told = CliRunner().invoke(
        app, ["history", "--frontier", "--prices", "--database", file, "--plot", str(picture)]
    )
    assert told.exit_code == 0, told.output
    assert "went from $0.1" in told.output.replace("\n", " ")
    assert picture.read_bytes().startswith(b"<?xml")
    told = CliRunner().invoke(app, ["history", "--frontier", "--database", file, "--json"])
    assert from_json(told.output.encode(), FrontierHistory).runs == 2
    wrong = CliRunner().invoke(app, ["history", "--prices", "--database", file])
    assert wrong.exit_code != 0
