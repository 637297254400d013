"""A process that drives a run and says which attempts it was told are durable.

Run as ``python -m tests.integration.drive DATABASE RUN``; made to be killed.
"""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal

from qbench.service.domain import Attempt
from qbench.service.pricebook import read_prices
from qbench.service.store import Store
from qbench.workers import sessions
from qbench.workers.progress import Silent
from qbench.workers.steps import execute


class Telling(Silent):
    def ended(self, attempt: Attempt, spent: Decimal) -> None:
        del spent
        sys.stdout.write(f"{attempt.id}\n")
        sys.stdout.flush()


def main(database: str, run_id: str) -> None:
    sessions.HEARTBEAT_S = 0.05
    with Store.open(database) as store:
        status = asyncio.run(execute(store.run(run_id), store, read_prices({}), Telling()))
    sys.stdout.write(f"{status.value}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
