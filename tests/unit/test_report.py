"""Reports of whole runs made with the scripted engine."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qbench.benchmarks.chat import Sampling
from qbench.errors import NotFound
from qbench.service.order import Order
from qbench.service.reports.comparison.report import comparison
from qbench.service.reports.frontier.report import frontier_of
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import to_json
from qbench.service.store import Store
from tests.scripted_runs import made_run


def made(store: Store, **options: Any) -> str:
    order = Order(
        suite="sums",
        models=("some/model",),
        formats=("fp8", "w4a16"),
        engine="scripted",
        samples=90,
        levels=(1, 2, 3, 4, 5),
        sampling=Sampling(),
        options={"accuracy": {"bf16": 0.8, "fp8": 0.8, "w4a16": 0.3}} | options,
    )
    return made_run(store, order)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("report") / "runs.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    return made(store)


def test_rows_are_ranked_and_judged_against_the_baseline(store: Store, run_id: str) -> None:
    board = leaderboard_of(store, run_id, components=True)
    assert [row.format for row in board.rows][-1] == "w4a16"
    kinds = {row.format: row.verdict.kind for row in board.rows}
    assert kinds == {"bf16": "baseline", "fp8": "equivalent", "w4a16": "worse"}
    for row in board.rows:
        assert row.pass_rate is not None
        assert row.pass_rate.low < row.pass_rate.value < row.pass_rate.high
        assert (row.validity.scored, row.validity.planned) == (90, 90)
    assert board.finding.startswith("bf16 passes")
    assert "w4a16 is worse" in board.finding
    assert board.basis == "saturated"


def test_the_unpriced_is_never_zero(store: Store, run_id: str) -> None:
    board = leaderboard_of(store, run_id)
    assert board.paid is None
    for row in board.rows:
        assert (row.cost, row.cost_of_pass, row.on_frontier) == (None, None, None)
        assert row.validity.unpriced == 90
    assert any("npriced" in note for note in board.notes)
    assert set(frontier_of(store, run_id).left_out.values()) == {"unpriced"}


def test_a_row_with_too_many_failures_is_invalid_and_last(store: Store) -> None:
    broken = made(store, faults={"http_500": 0.2})
    board = leaderboard_of(store, broken)
    assert all(row.validity.invalid for row in board.rows)
    assert all(row.verdict.kind != "worse" for row in board.rows)
    assert "INVALID" in board.finding
    assert "partial" in board.status


def test_a_comparison_adds_up(store: Store, run_id: str) -> None:
    found = comparison(store, run_id, "w4a16", "bf16")
    whole = found.slices[0]
    assert whole.samples == 90
    assert whole.both + whole.only_first + whole.only_second + whole.neither == 90
    tasks = [part for part in found.slices if part.name in ("add", "subtract", "multiply")]
    assert sum(part.samples for part in tasks) == 90
    gap = (whole.only_first - whole.only_second) / 90
    assert math.isclose(whole.difference.value, gap)
    assert found.verdict.kind == "worse"
    with pytest.raises(NotFound, match="w4a16"):
        comparison(store, run_id, "w4a17", "bf16")


def test_json_has_infinity_as_a_word_and_undefined_as_null() -> None:
    value = {"a": math.inf, "b": [-math.inf, math.nan, 1.5]}
    assert json.loads(to_json(value)) == {"a": "inf", "b": ["-inf", None, 1.5]}


def test_a_report_is_the_same_every_time(store: Store, run_id: str, tmp_path: Path) -> None:
    first, second = (leaderboard_of(store, run_id) for _ in range(2))
    assert first.rows == second.rows
    assert not list(tmp_path.iterdir())
