"""Efficiency over REST is the terminal's value."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from qbench.service.pricebook import read_prices
from qbench.service.profiles import save
from qbench.service.reports.efficiency.report import Wanted, efficiency_of
from qbench.service.reports.efficiency.values import Efficiency
from qbench.service.reports.values import from_json
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute
from tests.integration.api import application, serving
from tests.integration.made import create, request, system
from tests.profiles import made_profile


def test_a_run_is_costed_over_rest(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QBENCH_PROFILES", str(tmp_path))
    save(made_profile(noise=0.01))
    book = read_prices({})
    with Store.open(url) as store:
        plan = create(store, request((system("bf16"), system("fp8")), limit=10))
        asyncio.run(execute(plan.run, store, book, Silent()))
        with serving(application(store)) as base:
            path = f"{base}/v1/runs/{plan.run.id}/efficiency"
            answer = httpx.get(path, params={"profile": "abc1", "weights": "accuracy=1"})
            found = from_json(answer.content, Efficiency)
            wanted = Wanted(profile="abc1", weights="accuracy=1")
            assert found == efficiency_of(store, plan.run.id, book, wanted)
            assert all(row.dollars and row.idealized for row in found.rows)
            assert httpx.get(path, params={"profile": "nonesuch"}).status_code == 404
            assert httpx.get(path, params={"weights": "speed=1"}).status_code == 404
            assert httpx.get(path, params={"weights": "accuracy=x"}).status_code == 422
            assert httpx.get(f"{base}/v1/runs/none/efficiency").status_code == 404
