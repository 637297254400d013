"""Kill a run at any moment, start it again, and look for anything lost or counted twice."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest

from qbench.service.attribution import engine_dollars
from qbench.service.domain import Controls, RunStatus
from qbench.service.money import MachinePrice
from qbench.service.plan import Plan
from qbench.service.store import Store
from tests.integration.made import create, request, system

ROOT = Path(__file__).parents[2]
KILLS = 6
BOX = Controls(hardware="cpu-2core", concurrency=16)


def _start(url: str, plan: Plan) -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "tests.integration.drive", url, plan.run.id)
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _read(child: subprocess.Popen[str], lines: int) -> list[str]:
    """Read so many lines, or fewer when the child ends."""
    assert child.stdout is not None
    return [line.strip() for line, _ in zip(child.stdout, range(lines), strict=False)]


def _kill(child: subprocess.Popen[str]) -> list[str]:
    """Kill the child and return the whole lines it still said."""
    child.kill()
    said, _ = child.communicate()
    return said.split("\n")[:-1]


def _until_done(url: str, plan: Plan) -> list[str]:
    told: list[str] = []
    for _ in range(30):
        with _start(url, plan) as child:
            *ids, status = _read(child, 10_000)
        told += ids
        if status == RunStatus.DONE:
            return told
    raise AssertionError(status)


@pytest.fixture
def plan(url: str) -> Plan:
    faulty = system("bf16", ttft_s=0.004, faults={"http_500": 0.01})
    slow = system("fp8", ttft_s=0.004)
    with Store.open(url) as store:
        return create(store, request((faulty, slow), limit=500, epochs=2), BOX)


def test_a_run_that_is_killed_again_and_again(url: str, plan: Plan) -> None:
    assert plan.attempts == 2000
    luck = random.Random(7)
    told: list[str] = []
    for _ in range(KILLS):
        child = _start(url, plan)
        told += _read(child, luck.randrange(1, 300))
        told += [line for line in _kill(child) if len(line) == 16]
    told += _until_done(url, plan)
    with Store.open(url) as store:
        _check_attempts(store, plan, told)
        _check_books(store, plan)


def _check_attempts(store: Store, plan: Plan, told: list[str]) -> None:
    rows = list(store.export(plan.run.id))
    assert set(told) <= {row["id"] for row in rows}, "an attempt that was durable is lost"
    assert len(told) == len(set(told))
    current = Counter(
        (row["system_id"], row["sample_id"], row["epoch"])
        for row in rows
        if row["superseded_by"] is None
    )
    systems = [one.id for one in plan.run.request.systems]
    samples = [sample.id for sample in plan.samples]
    assert current == Counter(product(systems, samples, range(2)))
    assert sum(sum(n.values()) - n["passed"] for n in store.counts(plan.run.id).values()) == 2000
    assert sum(1 for _ in store.for_rescore(plan.run.id)) == 2000


def _check_books(store: Store, plan: Plan) -> None:
    """Each session is billed once, to the attempts it served or to the run, to the last digit."""
    assert store.orphaned_endpoints(plan.run.id) == ()
    endpoint_of = {row["id"]: row["endpoint_id"] for row in store.export(plan.run.id)}
    lines = list(store.ledger(plan.run.id))
    pairs = Counter((line.attempt_id or line.endpoint_id, line.basis) for line in lines)
    assert set(pairs.values()) == {1}
    assert {key for key, _ in pairs} >= set(endpoint_of)
    billed: dict[str, Decimal] = {}
    for line in lines:
        if line.basis == "dedicated":
            session = line.endpoint_id or endpoint_of[line.attempt_id]
            assert line.dollars is not None
            billed[session] = billed.get(session, Decimal(0)) + line.dollars
    sessions = store.endpoints(plan.run.id)
    assert len(sessions) > KILLS
    (price,) = store.prices().values()
    assert isinstance(price, MachinePrice)
    for session in sessions:
        assert billed[session.id] == engine_dollars(session.seconds, "dedicated", price)
