"""Runs, attempts and ledger lines made up for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from qbench.benchmarks.catalogue import load_suite
from qbench.benchmarks.chat import Message, Timing, TokenUsage, Turn
from qbench.benchmarks.suite import Score
from qbench.benchmarks.transcript import Transcript
from qbench.service.domain import (
    Attempt,
    AttemptStatus,
    Basis,
    Controls,
    Endpoint,
    Fault,
    LedgerLine,
    Request,
    Shard,
    System,
    new_id,
)
from qbench.service.plan import Plan, make_plan
from qbench.service.store import Recorded, Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def system(fmt: str = "bf16", **options: Any) -> System:
    return System(model="scripted/sums", format=fmt, engine="scripted", options=options)


def request(systems: Sequence[System] = (), *, limit: int = 10, epochs: int = 1) -> Request:
    suite = load_suite("sums")
    chosen = tuple(systems) or (system(),)
    return Request(
        systems=chosen,
        baseline=chosen[0].id,
        suite=suite.name,
        suite_version=suite.version,
        tasks=suite.tasks[:1],
        levels=suite.levels[:1],
        limit=limit,
        epochs=epochs,
    )


def create(store: Store, wanted: Request, controls: Controls | None = None) -> Plan:
    plan = make_plan(wanted, controls or Controls(), now=datetime.now(UTC))
    store.create_run(plan.run, plan.cells, plan.shards, plan.samples)
    return plan


def turn(**changes: Any) -> Turn:
    values: dict[str, Any] = {
        "message": Message(role="assistant", content="3"),
        "finish_reason": "stop",
        "timing": Timing(started_at=NOW, e2el_s=0.25, ttft_s=0.1),
        "usage": TokenUsage(prompt_tokens=100, cached_tokens=40, completion_tokens=7),
        "raw_usage": {"prompt_tokens": 100, "completion_tokens": 7, "vendor": {"x": 1}},
    }
    return Turn(**(values | changes))


def attempt(shard: Shard, n: int = 0, *, epoch: int = 0, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "id": new_id(),
        "run_id": shard.run_id,
        "system_id": shard.system_id,
        "sample_id": shard.sample_ids[n],
        "epoch": epoch,
        "cell_id": shard.cell_id,
        "endpoint_id": "e" * 13,
        "status": AttemptStatus.SCORED,
        "started_at": NOW,
        "ended_at": NOW,
        "transcript": Transcript(messages=(), turns=(turn(),), answer="3", seconds=0.5),
        "score": Score(
            status="scored", value=1.0, passed=True, components={"a": 0.5}, scorer="s/1"
        ),
    }
    return Attempt(**(values | changes))


def errored(shard: Shard, n: int = 0, *, epoch: int = 0) -> Attempt:
    return attempt(
        shard,
        n,
        epoch=epoch,
        status=AttemptStatus.ERRORED,
        score=None,
        fault=Fault(kind="EngineTimeout", message="silent for 120 s"),
    )


def line(made: Attempt, dollars: str | None = "0.10", basis: Basis = "api") -> LedgerLine:
    return LedgerLine(
        attempt_id=made.id,
        basis=basis,
        dollars=None if dollars is None else Decimal(dollars),
        usage=made.transcript.usage,
        seconds=None,
        price_id="p1" if dollars else "",
        at=NOW,
    )


def recorded(made: Attempt, *dollars: str | None) -> Recorded:
    return Recorded(attempt=made, lines=tuple(line(made, amount) for amount in dollars))


def endpoint(plan: Plan) -> Endpoint:
    return Endpoint(
        id=new_id(),
        run_id=plan.run.id,
        engine_key=plan.run.request.systems[0].engine_key,
        base_url="",
        served_name="scripted",
        started_at=NOW,
    )
