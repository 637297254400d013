"""Whole runs made in this process, for tests that read what a run found."""

import asyncio
from datetime import UTC, datetime

from qbench.service.domain import Controls
from qbench.service.order import Order, to_request
from qbench.service.plan import make_plan
from qbench.service.pricebook import read_prices
from qbench.service.store import Store
from qbench.workers.progress import Silent
from qbench.workers.steps import execute


def made_run(store: Store, order: Order, controls: Controls | None = None) -> str:
    """Make what is ordered, write it into the store, and return the run's id."""
    plan = make_plan(to_request(order), controls or Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    asyncio.run(execute(plan.run, store, read_prices(), Silent()))
    return plan.run.id
