"""Tournaments with judges behind HTTP, killed processes, and over REST."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from qbench.service.domain import Controls, System
from qbench.service.money import TokenPrice
from qbench.service.order import Order
from qbench.service.pricebook import read_prices
from qbench.service.reports.arena.report import arena_of
from qbench.service.reports.arena.values import Arena
from qbench.service.reports.values import from_json
from qbench.service.store import Store
from qbench.service.tournaments import Tournament
from qbench.workers.tariffs import planned_tariff
from qbench.workers.tournaments import Judged, judge_run
from tests.integration.api import application, serving
from tests.integration.endpoints import mock
from tests.scripted_runs import made_run

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic warn of each other

ROOT = Path(__file__).parents[2]
MODEL = "openai/gpt-4o-mini"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "q.db")) as opened:
        yield opened


def _run(store: Store, samples: int = 20) -> str:
    options = {"script": "essay", "strength": {"bf16": 1200, "fp8": 1000, "w4a16": 800}}
    order = Order(
        suite="open",
        models=("any",),
        formats=("fp8", "w4a16"),
        engine="scripted",
        samples=samples,
        options=options,
    )
    return made_run(store, order)


async def _judge_at(
    store: Store, run_id: str, controls: Controls, **told: Any
) -> tuple[Judged, Tournament]:
    async with mock(model="gpt-4o-mini", reply="judge", accuracy=0.9, **told) as (url, _):
        judge = System(model=MODEL, format="native", engine="api", base_url=url)
        made = Tournament(run_id=run_id, judge=judge, seed=3)
        prices = read_prices()
        work = judge_run(made, store, prices, controls, lambda *_: None, lambda _: None)
        return await work, made


def _price() -> TokenPrice:
    judge = System(model=MODEL, format="native", engine="api")
    tariff = planned_tariff(judge, Controls(), read_prices())
    assert tariff.token is not None
    price = tariff.token(datetime.now(UTC))
    assert price is not None
    return price


def test_a_judge_behind_an_api_is_priced_by_its_tokens_apart_from_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    run_id = _run(store)
    before = store.paid(run_id)
    judged, made = asyncio.run(_judge_at(store, run_id, Controls(budget=Decimal(1))))
    assert (judged.asked, judged.failed, judged.budget_reached) == (80, 0, False)
    found = arena_of(store, run_id, made.id)
    rates = _price().rates
    expected = (
        found.judge.prompt_tokens * rates.input + found.judge.completion_tokens * rates.output
    ) / 10**6
    assert found.judge.dollars == pytest.approx(float(expected))
    assert store.paid(run_id) == before, "the run does not pay for its judge"
    assert {one.price_id for one in store.judgements(made.id)} == {_price().id}


def test_a_budget_stops_a_tournament_before_it_is_passed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    run_id = _run(store)
    small = Decimal("0.004")
    judged, made = asyncio.run(_judge_at(store, run_id, Controls(budget=small, concurrency=4)))
    found = arena_of(store, run_id, made.id)
    assert judged.budget_reached
    assert 0 < judged.asked < 80
    assert found.judge.dollars is not None
    assert found.judge.dollars < small


def _start(database: str, run_id: str) -> subprocess.Popen[bytes]:
    options = "script=judge", "by_strength=true", "ttft_s=0.02"
    command = [sys.executable, "-m", "qbench", "arena", run_id, "--judge", "j", "-c", "4"]
    command += ["--judge-engine", "scripted", "--database", database, "--json"]
    command += [part for option in options for part in ("-o", option)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def test_a_tournament_that_is_killed_loses_nothing_and_asks_nothing_twice(
    store: Store, tmp_path: Path
) -> None:
    run_id, database = _run(store, 60), str(tmp_path / "q.db")
    for least in (20, 60):
        with _start(database, run_id) as child:
            known = store.tournaments(run_id)
            while not known or len(store.judgements(known[0].id)) < least:
                time.sleep(0.02)
                known = store.tournaments(run_id)
            child.kill()
        kept = {
            (one.sample_id, one.slot, one.swapped): one.started_at
            for one in store.judgements(known[0].id)
        }
        assert least <= len(kept) < 240
    with _start(database, run_id) as child:
        out, _ = child.communicate(timeout=100)
    found = from_json(out, Arena)
    made = store.judgements(found.tournament)
    assert (found.matches, len(made), found.judge.questions) == (120, 240, 240)
    again = {(one.sample_id, one.slot, one.swapped): one.started_at for one in made}
    assert kept.items() <= again.items(), "what was judged before the kill was not asked again"


def test_a_stored_tournament_is_told_over_rest(store: Store) -> None:
    run_id = _run(store, 10)
    options = {"script": "judge", "by_strength": True}
    judge = System(model="j", format="native", engine="scripted", options=options)
    made = Tournament(run_id=run_id, judge=judge)
    with serving(application(store)) as base:
        assert httpx.get(f"{base}/v1/runs/{run_id}/arena").status_code == 404
        work = judge_run(made, store, read_prices(), Controls(), lambda *_: None, lambda _: None)
        asyncio.run(work)
        answer = httpx.get(f"{base}/v1/runs/{run_id}/arena")
        assert from_json(answer.content, Arena) == arena_of(store, run_id)
        path = f"{base}/v1/runs/{run_id}/arena"
        assert httpx.get(path, params={"tournament": "zz"}).status_code == 404
