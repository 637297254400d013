"""Measure the harness: attempts per second, CPU per attempt, and a leaderboard's columns.

Usage::

    python scripts/bench_store.py                      # all three, small
    python scripts/bench_store.py --attempts 2000 --rows 1000000
    python scripts/bench_store.py --database postgresql://postgres@127.0.0.1/bench

``run`` is a whole run with the scripted engine, which answers at once: all time is the harness's.
``append`` is the store alone. ``outcomes`` reads a generated run as columns, as every report does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import numpy as np
from sqlalchemy import insert, update

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import Message, Timing, TokenUsage, Turn
from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript
from qbench.service.domain import (
    Attempt,
    AttemptStatus,
    Controls,
    Request,
    RunStatus,
    Shard,
    System,
    new_id,
)
from qbench.service.plan import Plan, make_plan
from qbench.service.pricebook import read_prices
from qbench.service.reports.leaderboard import leaderboard_of
from qbench.service.store import Recorded, Store
from qbench.service.tables import ATTEMPT, CELL, LEDGER
from qbench.workers.progress import Silent
from qbench.workers.steps import execute

T = TypeVar("T")
BATCH = 256
FORMATS = ("bf16", "fp8", "w4a16", "nvfp4")


@contextmanager
def measured(what: str, count: int) -> Iterator[None]:
    """Print wall and CPU time of the body, per item."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sys.stdout.write(
        f"{what:<10} {count:>9,} items  {wall:8.3f} s  {count / wall:>10,.0f} /s  "
        f"{1000 * cpu / count:.3f} ms CPU each\n"
    )


def planned(store: Store, samples: int, epochs: int = 1) -> Plan:
    """Write a run over ``FORMATS`` into ``store``."""
    suite = load_suite("sums")
    systems = tuple(System(model="scripted/x", format=f, engine="scripted") for f in FORMATS)
    request = Request(
        systems=systems,
        baseline=systems[0].id,
        suite=suite.name,
        suite_version=suite.version,
        tasks=suite.tasks[:1],
        levels=suite.levels[:1],
        limit=samples,
        epochs=epochs,
    )
    controls = Controls(hardware="cpu-2core", concurrency=64)
    plan = make_plan(request, controls, now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    return plan


def bench_run(store: Store, attempts: int) -> None:
    """A whole run in this process."""
    plan = planned(store, attempts // len(FORMATS))
    with measured("run", plan.attempts):
        asyncio.run(execute(plan.run, store, read_prices({}), Silent()))


def bench_append(store: Store, attempts: int) -> None:
    """Group commits of ``BATCH`` attempts."""
    plan = planned(store, attempts // len(FORMATS))
    made = [
        Recorded(attempt=_attempt(shard, sample_id))
        for shard in plan.shards
        for sample_id in shard.sample_ids
    ]
    with measured("append", len(made)):
        for start in range(0, len(made), BATCH):
            store.append(made[start : start + BATCH])


def _attempt(shard: Shard, sample_id: str) -> Attempt:
    now = datetime.now(UTC)
    turn = Turn(
        message=Message(role="assistant", content="The answer is 42."),
        finish_reason="stop",
        timing=Timing(started_at=now, e2el_s=0.5, ttft_s=0.1, itl_s=(0.01,) * 20),
        usage=TokenUsage(prompt_tokens=300, completion_tokens=20),
        raw_usage={"prompt_tokens": 300, "completion_tokens": 20},
    )
    asked = Message(role="user", content="What is 20 + 22? " * 20)
    return Attempt(
        id=new_id(),
        run_id=shard.run_id,
        system_id=shard.system_id,
        sample_id=sample_id,
        epoch=0,
        cell_id=shard.cell_id,
        endpoint_id="none",
        status=AttemptStatus.SCORED,
        started_at=now,
        ended_at=now,
        transcript=Transcript(messages=(asked, turn.message), turns=(turn,), answer="42"),
        score=Score(status="scored", value=1.0, passed=True, components={"call": 1.0}),
    )


def bench_outcomes(store: Store, rows: int) -> None:
    """Generate a run of ``rows`` attempts with two ledger lines each, and read its columns.

    From the database while it runs; once it has ended from its file. A leaderboard reads the same.
    """
    plan = planned(store, max(1, rows // len(FORMATS) // 10), epochs=10)
    with measured("generate", plan.attempts):
        _generate(store, plan)
    _median("database", lambda: store.outcomes(plan.run.id))
    store.set_status(plan.run.id, RunStatus.DONE, datetime.now(UTC))
    with measured("first", plan.attempts):
        store.outcomes(plan.run.id)
    found = _median("file", lambda: store.outcomes(plan.run.id))
    assert len(found.system) == plan.attempts
    assert not np.isnan(found.cost["dedicated"]).any()
    _median("leaderboard", lambda: leaderboard_of(store, plan.run.id))
    with measured("counts", plan.attempts):
        store.counts(plan.run.id)
    with measured("paid", plan.attempts):
        store.paid(plan.run.id)


def _median(what: str, once: Callable[[], T]) -> T:
    """Print wall and CPU seconds of three; return what the last one found."""
    wall, cpu = [], []
    for _ in range(3):
        began, used = time.perf_counter(), time.process_time()
        found = once()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    sys.stdout.write(
        f"{what:<12} median of 3: {statistics.median(wall):.2f} s (of {min(wall):.2f} to "
        f"{max(wall):.2f}), CPU {statistics.median(cpu):.2f} s\n"
    )
    return found


def _generate(store: Store, plan: Plan) -> None:
    """Write rows without transcripts, straight into the tables."""
    now = datetime.now(UTC)
    fixed = {
        "run_id": plan.run.id, "endpoint_id": "none", "superseded_by": None, "status": "scored",
        "passed": True, "value": 1.0, "reason": "", "scorer": "s/1", "components": b"{}",
        "fault_kind": "", "fault_message": "", "stop": "answered", "truncated": False,
        "parse_failures": 0, "retries": 0, "calls": 1, "prompt_tokens": 300, "cached_tokens": 0,
        "completion_tokens": 20, "seconds": 0.5, "started_at": now, "ended_at": now,
    }  # fmt: skip
    line = {"run_id": plan.run.id, "endpoint_id": None, "price_id": "p", "seconds": 0.01,
            "usage": b"null", "at": now}  # fmt: skip
    for shard in plan.shards:
        keys = [(i, epoch) for i in shard.sample_ids for epoch in range(shard.epochs)]
        own = {"system_id": shard.system_id, "cell_id": shard.cell_id}
        made = [fixed | own | {"id": new_id(), "sample_id": i, "epoch": epoch} for i, epoch in keys]
        lines = [
            line | {"attempt_id": row["id"], "basis": basis, "dollars": Decimal("0.000001234567")}
            for basis in ("saturated", "dedicated")
            for row in made
        ]
        with store.writing() as tx:
            tx.execute(insert(ATTEMPT), made)
            tx.execute(insert(LEDGER), lines)
            mine = update(CELL).where(CELL.c.id == shard.cell_id)
            tx.execute(mine.values(scored=CELL.c.scored + len(made)))


def main() -> None:
    """Read the options and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--attempts", type=int, default=2000)
    options.add_argument("--rows", type=int, default=200_000, help="0 leaves outcomes out")
    options.add_argument("--database", default="", help="default: a fresh SQLite file")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        _measure(given, folder)


def _measure(given: argparse.Namespace, folder: str) -> None:
    with Store.open(given.database or str(Path(folder) / "bench.db")) as store:
        bench_run(store, given.attempts)
        bench_append(store, given.attempts)
        if given.rows:
            bench_outcomes(store, given.rows)


if __name__ == "__main__":
    main()
