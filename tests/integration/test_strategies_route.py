"""Strategies side by side over REST are the terminal's value."""

from __future__ import annotations

from pathlib import Path

import httpx

from qbench.service.domain import Controls
from qbench.service.order import Order
from qbench.service.reports.strategies.report import strategies_of
from qbench.service.reports.strategies.values import StrategyReport
from qbench.service.reports.values import from_json
from qbench.service.store import Store
from tests.integration.api import application, serving
from tests.scripted_runs import made_run


def test_strategies_are_compared_over_rest(tmp_path: Path) -> None:
    order = Order(
        suite="sums",
        engine="scripted",
        samples=12,
        levels=(1,),
        strategies=("single", "majority@3"),
    )
    with Store.open(str(tmp_path / "q.db")) as store:
        run = made_run(store, order, Controls(hardware="cpu-2core"))
        with serving(application(store)) as base:
            found = httpx.get(f"{base}/v1/runs/{run}/strategies")
            assert from_json(found.content, StrategyReport) == strategies_of(store, run)
            assert httpx.get(f"{base}/v1/runs/none/strategies").status_code == 404
