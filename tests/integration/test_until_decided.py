"""Runs that go on until they are decided: stopped early, killed, resumed, out of budget."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from qbench.benchmarks.chat import Sampling
from qbench.errors import ConfigError, Unsupported
from qbench.service.domain import Controls, Endpoint, RunStatus, System
from qbench.service.order import Order, to_request
from qbench.service.plan import Plan, make_plan
from qbench.service.pricebook import read_prices
from qbench.service.reports.comparison.pairs import pairs_of
from qbench.service.reports.comparison.report import comparison
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import Leaderboard, Row, to_json
from qbench.service.schedules import Recurring, checked
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.rounds import next_step
from qbench.workers.steps import execute
from tests.integration.api import application, serving

ROOT = Path(__file__).parents[2]
ACCURACY = {"bf16": 0.8, "fp8": 0.8, "w4a16": 0.3}
BOX = Controls(hardware="cpu-2core")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "runs.db")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


def plan(
    store: Store,
    *formats: str,
    samples: int = 600,
    margin: float = 0.05,
    controls: Controls = BOX,
    noise_floor: bool = False,
    **options: Any,
) -> Plan:
    order = Order(
        suite="sums",
        models=("some/model",),
        formats=formats,
        engine="scripted",
        samples=samples,
        margin=margin,
        until="decided",
        noise_floor=noise_floor,
        sampling=Sampling(),
        options={"accuracy": ACCURACY} | options,
    )
    made = make_plan(to_request(order), controls, now=datetime.now(UTC))
    store.create_run(made.run, made.cells, made.shards, made.samples)
    return made


def go_on(store: Store, made: Plan) -> RunStatus:
    return asyncio.run(execute(store.run(made.run.id), store, read_prices({}), Silent()))


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.served: list[str] = []
        self.planned: dict[str, int] = {}

    def say(self, line: str) -> None:
        self.said.append(line)

    def serving(self, system: System, endpoint: Endpoint) -> None:
        del endpoint
        self.served.append(system.format)

    def stopped(self, system_id: str, planned: int) -> None:
        self.planned[system_id] = planned


def by_format(board: Leaderboard) -> dict[str, Row]:
    return {row.format: row for row in board.rows if not row.replica}


def attempts(store: Store, made: Plan) -> Counter[tuple[str, str, int]]:
    rows = store.export(made.run.id)
    keys = ((r["system_id"], r["sample_id"], r["epoch"]) for r in rows if not r["superseded_by"])
    return Counter(keys)


def test_what_is_decided_is_asked_no_more(store: Store) -> None:
    made = plan(store, "fp8", "w4a16")
    assert go_on(store, made) is RunStatus.DONE
    board = leaderboard_of(store, made.run.id)
    rows = by_format(board)
    assert {name: row.verdict.kind for name, row in rows.items()} == {
        "bf16": "baseline",
        "fp8": "equivalent",
        "w4a16": "worse",
    }
    scored = {name: row.validity.scored for name, row in rows.items()}
    assert scored["w4a16"] < scored["fp8"] == scored["bf16"] < 600
    for row in rows.values():
        assert (row.validity.planned, row.validity.errored) == (row.validity.scored, 0)
        assert row.validity.invalid == ""
        assert row.interval == "confidence sequence"
        assert f"stopped early after {row.validity.scored} of 600 samples" in row.validity.stopped
    assert "decided: worse" in rows["w4a16"].validity.stopped
    assert board.stopping is not None
    assert board.stopping.attempts == sum(scored.values()) == sum(attempts(store, made).values())
    assert board.stopping.full_attempts == 1800
    assert "with every system decided" in board.finding
    assert any("confidence sequences" in note for note in board.notes)
    summary = store.summary(store.run(made.run.id))
    assert summary.planned == sum(scored.values())
    assert all(shard.closed for shard in store.shards(made.run.id))
    assert all(cell.pending == 0 for cell in store.cells(made.run.id))


def test_it_says_once_what_is_new(store: Store) -> None:
    made, heard = plan(store, "fp8", "w4a16"), Heard()
    asyncio.run(execute(store.run(made.run.id), store, read_prices({}), heard))
    assert sorted(heard.served) == ["bf16", "fp8", "w4a16"]
    assert len(store.endpoints(made.run.id)) > 3
    assert len(heard.said) == len(set(heard.said))
    stopped = [line for line in heard.said if "asked no more" in line]
    assert [line.partition(" (")[2] for line in stopped] == [
        "decided: worse).",
        "decided: equivalent).",
    ]
    assert heard.planned == store.planned(made.run.id)


def test_before_the_first_round_nothing_is_decided(store: Store) -> None:
    made = plan(store, "fp8")
    board = leaderboard_of(store, made.run.id)
    assert {row.verdict.kind for row in board.rows} == {"baseline", "invalid"}
    assert board.stopping is not None
    assert (board.stopping.attempts, board.stopping.systems) == (0, {})
    assert "is undecided" in board.finding
    step = next_step(made.run, store)
    assert {shard.system_id for shard in step.shards} == {s.id for s in made.run.request.systems}
    assert len(step.shards) == len(made.cells)


def test_a_finished_run_is_left_alone(store: Store) -> None:
    made = plan(store, "w4a16")
    go_on(store, made)
    before = attempts(store, made)
    assert go_on(store, made) is RunStatus.DONE
    assert attempts(store, made) == before
    assert all(shard.closed for shard in store.shards(made.run.id))


def test_the_same_twice_goes_on_to_the_end(store: Store) -> None:
    made = plan(store, "fp8", samples=120, margin=0.01)
    assert go_on(store, made) is RunStatus.DONE
    board = leaderboard_of(store, made.run.id)
    row = by_format(board)["fp8"]
    assert row.verdict.kind == "inconclusive"
    assert row.verdict.needed is not None
    assert row.verdict.needed > 120
    assert (row.validity.scored, row.validity.stopped) == (120, "")
    assert "All 120 samples are asked" in board.finding
    assert "(100 %)" in board.finding


def test_pairs_stay_whole_and_samples_come_in_the_order_of_the_plan(store: Store) -> None:
    made = plan(store, "fp8", "w4a16")
    go_on(store, made)
    order = [sample.id for sample in made.samples]
    for system in made.run.request.systems:
        asked = {key[1] for key in attempts(store, made) if key[0] == system.id}
        assert asked == set(order[: len(asked)])


def test_a_copy_of_the_baseline_goes_along_and_decides_nothing(store: Store) -> None:
    made = plan(store, "w4a16", noise_floor=True, unsteady=0.1)
    assert go_on(store, made) is RunStatus.DONE
    board = leaderboard_of(store, made.run.id)
    copy = next(row for row in board.rows if row.replica)
    assert copy.verdict.kind == "noise floor"
    assert copy.validity.scored == by_format(board)["w4a16"].validity.scored < 600
    assert board.noise is not None
    assert board.noise.bound > 0


def test_verdicts_between_any_two_systems_are_sequential_too(store: Store) -> None:
    made = plan(store, "fp8", "w4a16")
    go_on(store, made)
    found = comparison(store, made.run.id, "w4a16", "bf16")
    board = by_format(leaderboard_of(store, made.run.id))["w4a16"]
    assert found.verdict.kind == board.verdict.kind == "worse"
    assert found.verdict.difference == board.verdict.difference
    every = pairs_of(store, made.run.id)
    verdicts = {frozenset((pair.first, pair.second)): pair.verdict for pair in every.pairs}
    assert verdicts[frozenset(("bf16", "fp8"))].kind == "equivalent"
    other = comparison(store, made.run.id, "fp8", "w4a16").verdict
    assert verdicts[frozenset(("fp8", "w4a16"))].difference == other.difference
    with pytest.raises(ConfigError, match="no one-sided verdict"):
        comparison(store, made.run.id, "fp8", "bf16", non_inferior=True)
    with pytest.raises(ConfigError, match="no one-sided verdict"):
        pairs_of(store, made.run.id, non_inferior=True)


def test_infrastructure_failures_are_tried_again_and_decide_nothing(store: Store) -> None:
    made = plan(store, "w4a16", samples=120, faults={"http_500": 0.4})
    assert go_on(store, made) is RunStatus.PARTIAL
    board = leaderboard_of(store, made.run.id)
    assert by_format(board)["w4a16"].verdict.kind == "invalid"
    errored = sum(row.validity.errored for row in board.rows)
    assert errored > 0
    before = sum(1 for _ in store.export(made.run.id))
    go_on(store, made)
    assert sum(1 for _ in store.export(made.run.id)) == before + errored


def test_an_engine_that_was_given_up_does_not_hold_the_others(store: Store) -> None:
    made = plan(store, "fp8", "w4a16", faults={"http_500": 1.0})
    assert go_on(store, made) is RunStatus.PARTIAL
    step = next_step(store.run(made.run.id), store)
    assert step.stopped == {}
    assert step.shards


def test_money_ends_it_and_more_money_goes_on(store: Store) -> None:
    little = replace(BOX, budget=Decimal("0.0000001"))
    made = plan(store, "fp8", "w4a16", controls=little, ttft_s=0.01)
    assert go_on(store, made) is RunStatus.BUDGET
    store.set_controls(made.run.id, BOX)
    assert go_on(store, made) is RunStatus.DONE
    kinds = {row.verdict.kind for row in leaderboard_of(store, made.run.id).rows}
    assert kinds == {"baseline", "equivalent", "worse"}


def _killed(url: str, made: Plan, after: int) -> None:
    command = (sys.executable, "-m", "tests.integration.drive", url, made.run.id)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in zip(child.stdout, range(after), strict=False):
            pass
        child.kill()


def test_killed_and_taken_up_again_it_decides_the_same(store: Store, url: str) -> None:
    whole = plan(store, "fp8", "w4a16")
    go_on(store, whole)
    killed = plan(store, "fp8", "w4a16", ttft_s=0.002)
    for after in (30, 150):
        _killed(url, killed, after)
    assert store.run(killed.run.id).status is RunStatus.RUNNING
    assert go_on(store, killed) is RunStatus.DONE
    one, two = leaderboard_of(store, whole.run.id), leaderboard_of(store, killed.run.id)
    for name, row in by_format(one).items():
        again = by_format(two)[name]
        assert (again.verdict, again.passed) == (row.verdict, row.passed)
        assert again.validity.scored == again.validity.planned == row.validity.scored
    assert set(attempts(store, killed).values()) == {1}


def test_what_recurs_refuses_it_with_a_reason() -> None:
    order = Order(
        suite="sums", models=("a/b",), formats=("fp8",), engine="scripted", until="decided"
    )
    recurring = Recurring(name="nightly", cron="0 3 * * *", order=order)
    with pytest.raises(Unsupported, match="asks every sample"):
        checked(recurring, datetime.now(UTC))


def test_rest_shows_what_was_found(store: Store) -> None:
    made = plan(store, "w4a16")
    go_on(store, made)
    with serving(application(store)) as url, httpx.Client(base_url=url, timeout=30) as http:
        board = http.get(f"/v1/runs/{made.run.id}/leaderboard").json()
    assert board["stopping"] == json.loads(to_json(leaderboard_of(store, made.run.id)))["stopping"]
