"""Runs until decided that a service's workers make: rounds, kills, budgets, resumes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qbench.service.access import LOCAL
from qbench.service.desk import Desk, Submission
from qbench.service.domain import Controls, Run, RunStatus
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.store import Store
from tests.integration.farm import Farm, at_rest, desk_of, farm, hand_in, submission

ACCURACY = {"bf16": 0.8, "fp8": 0.8, "w4a16": 0.3}
BILLED = Controls(concurrency=16, hardware="cpu-2core")


@pytest.fixture
def store(postgres: str) -> Iterator[Store]:
    with Store.open(postgres) as opened:
        yield opened


@pytest.fixture
def desk(store: Store, broker: str) -> Desk:
    return desk_of(store, broker)


@pytest.fixture
def workers(postgres: str, broker: str, tmp_path: Path) -> Iterator[Farm]:
    with farm(postgres, broker, tmp_path) as made:
        yield made


def wanted(controls: Controls = BILLED, **options: Any) -> Submission:
    made = submission(
        samples=600, formats="fp8,w4a16", controls=controls, accuracy=ACCURACY, **options
    )
    return replace(made, order=replace(made.order, until="decided"))


def check(store: Store, run: Run) -> None:
    board = leaderboard_of(store, run.id)
    rows = {row.format: row for row in board.rows}
    kinds = {name: row.verdict.kind for name, row in rows.items()}
    assert kinds == {"bf16": "baseline", "fp8": "equivalent", "w4a16": "worse"}
    assert rows["w4a16"].validity.scored < rows["fp8"].validity.scored < 600
    assert rows["fp8"].validity.scored == rows["bf16"].validity.scored
    for row in board.rows:
        assert row.validity.scored == row.validity.planned
    views = store.attempts(run.id, limit=100_000)
    keys = Counter((view.system_id, view.sample_id, view.epoch) for view in views)
    assert set(keys.values()) == {1}
    assert all(shard.closed for shard in store.shards(run.id))
    assert store.run(run.id).queued_at is None


def test_workers_stop_what_is_decided(store: Store, desk: Desk, workers: Farm) -> None:
    workers.start(2)
    run = hand_in(desk, wanted())
    assert at_rest(store, run, limit_s=120) is RunStatus.DONE
    check(store, run)
    assert len(store.hostings(run.id)) > 3
    assert store.unpriced(run.id) == 0


def test_a_killed_worker_changes_no_decision(store: Store, desk: Desk, workers: Farm) -> None:
    workers.start(2)
    run = hand_in(desk, wanted(ttft_s=0.02))
    for _ in range(2):
        time.sleep(1.0)
        workers.kill(workers.pids[0])
        workers.start()
    assert at_rest(store, run, limit_s=240) is RunStatus.DONE
    check(store, run)


def test_money_ends_it_and_more_money_goes_on(store: Store, desk: Desk, workers: Farm) -> None:
    workers.start(2)
    run = hand_in(desk, wanted(replace(BILLED, budget=Decimal("0.0000001")), ttft_s=0.02))
    assert at_rest(store, run, limit_s=120) is RunStatus.BUDGET
    desk.resume(run.id, LOCAL, BILLED)
    assert at_rest(store, run, limit_s=120) is RunStatus.DONE
    check(store, run)
