"""Tournaments over whole runs of the scripted engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qbench.cli.pictures import drawn
from qbench.errors import ConfigError, NotFound, PriceMissing, Unsupported
from qbench.service.domain import Controls, System
from qbench.service.order import Order, to_request
from qbench.service.pricebook import read_prices
from qbench.service.reports.arena.report import arena_of
from qbench.service.reports.arena.values import Arena
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.reports.values import from_json, to_json
from qbench.service.store import Store
from qbench.service.tournaments import Tournament
from qbench.workers.tournaments import Judged, judge_run, refuse_judge
from tests.scripted_runs import made_run

STRENGTH = {"bf16": 1300, "fp8": 1100, "w4a16": 900, "nvfp4": 700, "mxfp4": 1000}
FORMATS = ("fp8", "w4a16", "nvfp4", "mxfp4")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(str(tmp_path_factory.mktemp("arena") / "q.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_id(store: Store) -> str:
    options = {"script": "essay", "strength": STRENGTH}
    order = Order(
        suite="open",
        models=("any",),
        formats=FORMATS,
        engine="scripted",
        samples=50,
        options=options,
    )
    return made_run(store, order)


def judge(**options: Any) -> System:
    told = {"script": "judge", "by_strength": True} | options
    return System(model="the-judge", format="native", engine="scripted", options=told)


def judged(store: Store, made: Tournament, controls: Controls | None = None) -> Judged:
    work = judge_run(
        made,
        store,
        read_prices(),
        controls or Controls(concurrency=8),
        lambda *_: None,
        lambda _: None,
    )
    return asyncio.run(work)


def test_known_strengths_are_ranked_and_matches_counted(store: Store, run_id: str) -> None:
    made = Tournament(run_id=run_id, judge=judge())
    assert judged(store, made).asked == 50 * 4 * 2
    found = arena_of(store, run_id, made.id)
    assert [row.format for row in found.rows] == ["bf16", "fp8", "mxfp4", "w4a16", "nvfp4"]
    assert (found.matches, found.planned, found.round_robin) == (200, 200, 500)
    assert sum(row.matches for row in found.rows) == 400
    assert all(row.rank_low <= row.rank <= row.rank_high for row in found.rows)
    assert found.rows[-1].verdict == "worse"
    assert found.judge.dollars is None, "unknown is never zero"


def test_a_tournament_is_judged_once(store: Store, run_id: str) -> None:
    made = Tournament(run_id=run_id, judge=judge(), seed=5)
    assert judged(store, made).asked == 400
    again = judged(store, made)
    assert again.asked == 0
    assert arena_of(store, run_id, made.id).judge.questions == 400


def test_a_judge_that_fails_now_and_then_is_asked_again(store: Store, run_id: str) -> None:
    made = Tournament(run_id=run_id, judge=judge(faults={"http_500": 0.1}), seed=6)
    first = judged(store, made)
    assert first.failed > 0
    known = arena_of(store, run_id, made.id).judge.questions
    assert known == first.asked < 400
    for _ in range(20):
        if not judged(store, made).failed:
            break
    assert arena_of(store, run_id, made.id).judge.questions == 400


def test_a_judge_that_is_down_stops_the_tournament(store: Store, run_id: str) -> None:
    made = Tournament(run_id=run_id, judge=judge(faults={"http_500": 1.0}), seed=7)
    with pytest.raises(Exception, match="failed as told"):
        judged(store, made)
    assert "nothing was judged" in arena_of(store, run_id, made.id).invalid


def test_a_bias_for_the_first_is_seen_and_taken_out(store: Store, run_id: str) -> None:
    made = Tournament(run_id=run_id, judge=judge(position_bias=0.3), seed=8)
    judged(store, made)
    found = arena_of(store, run_id, made.id)
    trust = found.judge.trust
    assert trust.first is not None
    assert trust.first.low > 0.5
    assert trust.recency == 0
    assert trust.primacy == sum(row.tied for row in found.rows) / 2
    assert found.rows[0].format == "bf16"


def test_a_judge_who_says_nothing_readable_makes_it_invalid(store: Store, run_id: str) -> None:
    mute = System(model="mute", format="native", engine="scripted", options={"script": "garbage"})
    made = Tournament(run_id=run_id, judge=mute)
    judged(store, made)
    found = arena_of(store, run_id, made.id)
    assert found.unread == found.matches
    assert "no verdict could be read" in found.invalid
    assert found.rows == ()


@pytest.mark.parametrize(("design", "matches"), [("anchored", 200), ("round-robin", 500)])
def test_other_designs(store: Store, run_id: str, design: Any, matches: int) -> None:
    anchor = store.run(run_id).request.baseline if design == "anchored" else ""
    made = Tournament(run_id=run_id, judge=judge(), design=design, anchor=anchor, swap=False)
    assert judged(store, made).asked == matches
    found = arena_of(store, run_id, made.id)
    assert found.planned == matches
    assert any("one order" in note for note in found.notes)


def test_the_leaderboard_of_an_open_run_ranks_nothing_and_is_valid(
    store: Store, run_id: str
) -> None:
    board = leaderboard_of(store, run_id)
    assert "qbench arena" in board.finding
    assert {row.verdict.kind for row in board.rows} == {"reference-free"}
    assert not any(row.validity.invalid for row in board.rows)
    assert all(row.pass_rate is None and row.validity.unscored == 50 for row in board.rows)
    assert all(row.seconds is not None for row in board.rows)


def test_a_judge_is_calibrated_on_passed_and_failed_attempts(store: Store) -> None:
    order = Order(
        suite="sums",
        models=("any",),
        formats=("w4a16",),
        engine="scripted",
        samples=300,
        noise_floor=False,
        options={"accuracy": {"bf16": 0.9, "w4a16": 0.3}},
    )
    run_id = made_run(store, order)
    options = {"script": "judge", "accuracy": 0.8, "confidence": 0.95}
    fake = System(model="j", format="native", engine="scripted", options=options)
    made = Tournament(run_id=run_id, judge=fake, design="calibration", pairs=150)
    assert judged(store, made).asked == 300
    truth = arena_of(store, run_id, made.id).truth
    assert truth is not None
    assert truth.accuracy is not None
    assert truth.accuracy.low < 0.8 < truth.accuracy.high
    assert truth.calibration is not None
    right = truth.by_question
    assert right is not None
    assert truth.calibration.ece == pytest.approx(0.95 - right.value)
    assert truth.right + truth.tied + truth.wrong == truth.pairs == 150


def test_what_cannot_judge_is_refused(store: Store, run_id: str) -> None:
    prices = read_prices()
    hosted = System(model="some/model", format="native", engine="vllm")
    with pytest.raises(Unsupported, match="served"):
        refuse_judge(hosted, Controls(), prices)
    with pytest.raises(PriceMissing):
        refuse_judge(judge(), Controls(budget=Decimal(1)), prices)
    with pytest.raises(NotFound, match="tournament"):
        arena_of(store, run_id, "zzz")


def test_suites_with_and_without_answers_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="mixes"):
        to_request(Order(suite="open,sums", models=("any",), engine="scripted"))
    with pytest.raises(ConfigError, match="nothing to decide"):
        to_request(
            Order(
                suite="open",
                models=("any",),
                engine="scripted",
                formats=("fp8",),
                until="decided",
            )
        )


def test_json_is_read_back_and_pictures_are_drawn(
    store: Store, run_id: str, tmp_path: Path
) -> None:
    found = arena_of(store, run_id)
    assert from_json(to_json(found), Arena) == found
    assert msgspec.json.decode(to_json(found))["schema"] == 1
    drawn("arena", found, str(tmp_path / "arena.svg"))
    assert "Elo" in (tmp_path / "arena.svg").read_text()
